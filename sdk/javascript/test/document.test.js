/** Each operation of the API's document is reached, and each answer has the members that the document says. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { serving } from './support/server.js';

const SOURCE = new URL('../src/', import.meta.url);

const DOCUMENT = JSON.parse(await readFile(new URL('../../../openapi.json', import.meta.url), 'utf8'));

/** @type {Record<string, (client: import('task-scheduler-sdk').TaskSchedulerClient) => Promise<any>>} */
const CALLS = {
  create_task: (client) => client.createTask({ taskName: 'n', taskType: 'cron', scheduleExpression: '@daily' }),
  create_tasks: (client) => client.createTasks([]),
  delete_tasks: (client) => client.deleteTasks(['task_id']),
  list_tasks: (client) =>
    client.listTasks({ limit: 1, offset: 1, status: 'paused', priority: 'low', taskType: 'cron', tag: 'a:b', name: 'n' }),
  get_task: (client) => client.getTask('task_id'),
  update_task: (client) => client.updateTask('task_id', {}),
  delete_task: (client) => client.deleteTask('task_id'),
  pause_task: (client) => client.pauseTask('task_id'),
  resume_task: (client) => client.resumeTask('task_id'),
  trigger_task: (client) => client.triggerTask('task_id', { userIds: ['u'] }),
  list_executions: (client) => client.getExecutions('task_id', { limit: 1, offset: 1 }),
  get_execution: (client) => client.getExecution('execution_id'),
  get_execution_logs: (client) => client.getExecutionLogs('execution_id'),
  append_execution_logs: (client) => client.appendExecutionLogs('execution_id', [{ message: 'm' }]),
  cancel_execution: (client) => client.cancelExecution('execution_id'),
  add_dependency: (client) => client.addDependency('task_id', { dependsOnTaskId: 'other' }),
  list_dependencies: (client) => client.listDependencies('task_id'),
  remove_dependency: (client) => client.removeDependency('task_id', 'dependency_id'),
  get_status: (client) => client.getStatus(),
  get_task_stats: (client) => client.getTaskStats('task_id'),
  explain_task: (client) => client.explainTask('task_id', { userId: 'u', at: new Date() }),
  list_workers: (client) => client.listWorkers(),
  get_audit_log: (client) => client.getAuditLog({ limit: 1, before: '1-1' }),
};

for (const [path, methods] of Object.entries(DOCUMENT.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const name = operation.operationId;
    test(`${name} is reached, and its answer is decoded as the document has it`, async (t) => {
      const [status, schema] = answerOf(operation);
      const { client, asked } = await serving(t, [{ status, json: schema && sampleOf(schema) }]);
      const value = await CALLS[name](client);
      const target = new URL(asked[0].url, 'http://x');
      assert.equal(`${asked[0].method} ${target.pathname}`, `${method.toUpperCase()} ${path.replace(/[{}]/g, '')}`);
      const known = (operation.parameters ?? []).filter((/** @type {any} */ one) => one.in === 'query');
      assert.deepEqual([...target.searchParams.keys()].sort(), known.map((/** @type {any} */ one) => one.name).sort());
      if (schema !== null) {
        assert.equal(value.constructor.name, schema.$ref.split('/').at(-1));
        assertDecoded(value, schema);
      }
    });
  }
}

/** What this SDK calls otherwise, for their names alone would not tell what of. */
const RENAMED = /** @type {Record<string, string>} */ ({
  ApiPriority: 'Priority',
  Condition: 'SystemCondition',
  Level: 'LogLevel',
  OutcomeClass: 'Outcome',
  Status: 'ExecutionStatus',
});

const texts = ['types.ts', 'types-executions.ts', 'types-explanation.ts'].map((name) => readFile(new URL(name, SOURCE), 'utf8'));
const types = (await Promise.all(texts)).join('');

for (const [name, schema] of Object.entries(DOCUMENT.components.schemas)) {
  if (schema.enum !== undefined) {
    test(`the type of ${name} has the words of the document`, () => {
      const declared = new RegExp(`^export type ${RENAMED[name] ?? name} =([^;]*);`, 'm').exec(types);
      assert.deepEqual([...(declared?.[1] ?? '').matchAll(/'(\w+)'/g)].map(([, word]) => word).sort(), schema.enum.sort());
    });
  }
}

/** @param {any} operation */
function answerOf(operation) {
  const status = Number(Object.keys(operation.responses).find((key) => key.startsWith('2')));
  return /** @type {const} */ ([status, operation.responses[status].content?.['application/json'].schema ?? null]);
}

/** @param {any} schema */
function resolved(schema) {
  return schema.$ref === undefined ? schema : DOCUMENT.components.schemas[schema.$ref.split('/').at(-1)];
}

/**
 * Something with all its members that the schema allows.
 *
 * @param {any} given
 * @returns {any}
 */
function sampleOf(given) {
  const schema = resolved(given);
  if (schema.anyOf ?? schema.oneOf) {
    return sampleOf((schema.anyOf ?? schema.oneOf)[0]);
  }
  const types = /** @type {Record<string, () => any>} */ ({
    object: () => Object.fromEntries(Object.entries(schema.properties ?? {}).map(([key, inner]) => [key, sampleOf(inner)])),
    array: () => [sampleOf(schema.items)],
    string: () => (schema.format === 'date-time' ? '2024-01-08T10:00:00Z' : 'word'),
    integer: () => 3,
    number: () => 0.5,
    boolean: () => true,
  });
  return schema.const ?? schema.enum?.[0] ?? types[schema.type ?? 'integer']();
}

/**
 * @param {any} value
 * @param {any} given
 */
function assertDecoded(value, given) {
  const schema = resolved((given.anyOf ?? [given])[0]);
  if (schema.format === 'date-time') {
    assert.ok(value instanceof Date);
  } else if (schema.type === 'array') {
    assertDecoded(value[0], schema.items);
  } else if (schema.properties !== undefined && value.constructor !== Object) {
    const members = Object.entries(schema.properties).map(([key, inner]) => /** @type {const} */ ([camel(key), inner]));
    const declared = Object.keys(value).filter((key) => key !== 'etag');
    assert.deepEqual(declared.sort(), members.map(([key]) => key).sort());
    members.forEach(([key, inner]) => assertDecoded(value[key], inner));
  } else {
    assert.deepEqual(value, sampleOf(schema));
  }
}

/** @param {string} key */
function camel(key) {
  return key.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
}
