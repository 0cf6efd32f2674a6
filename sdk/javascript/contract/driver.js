/**
 * Goes through the scenario of the three SDKs: one call a line on stdin, one answer a line on stdout.
 * sdk/contract/README.md says how both look.
 */

import { createInterface } from 'node:readline';
import { inspect } from 'node:util';

import { ApiError, TaskSchedulerClient } from 'task-scheduler-sdk';

/** @typedef {Record<string, any>} Arguments */

const CLIENT = {
  baseUrl: process.env.TASK_SCHEDULER_URL ?? '',
  apiKey: process.env.TASK_SCHEDULER_API_KEY ?? '',
};

let client = new TaskSchedulerClient(CLIENT);

/** Arguments that are options of a method, not members of its body. */
const OPTIONS = new Set(['idempotency_key', 'if_match', 'user_ids', 'timeout_s']);

/** Members of answers and requests that belong to the user. */
const USERS = new Set(['payload', 'tags', 'result', 'config', 'headers', 'interval', 'ids']);

/** @type {Record<string, (given: Arguments, options: any) => any>} */
const CALLS = {
  create_task: (given, options) => client.createTask(/** @type {any} */ (given), options),
  create_tasks: ({ tasks }, options) => client.createTasks(tasks.map(camelled), options),
  get_task: ({ taskId }) => client.getTask(taskId),
  list_tasks: (filters) => client.listTasks(filters),
  update_task: ({ taskId, ...changes }, options) => client.updateTask(taskId, changes, options),
  delete_task: ({ taskId }) => client.deleteTask(taskId),
  delete_tasks: ({ taskIds }, options) => client.deleteTasks(taskIds, options),
  pause_task: ({ taskId }, options) => client.pauseTask(taskId, options),
  resume_task: ({ taskId }, options) => client.resumeTask(taskId, options),
  trigger_task: ({ taskId }, options) => client.triggerTask(taskId, options),
  get_task_stats: ({ taskId }) => client.getTaskStats(taskId),
  explain_task: ({ taskId, ...about }) => client.explainTask(taskId, about),
  add_dependency: ({ taskId, ...dependency }, options) =>
    client.addDependency(taskId, /** @type {any} */ (dependency), options),
  list_dependencies: ({ taskId }) => client.listDependencies(taskId),
  remove_dependency: ({ taskId, dependencyId }) => client.removeDependency(taskId, dependencyId),
  list_executions: ({ taskId, ...paging }) => client.getExecutions(taskId, paging),
  get_execution: ({ executionId }) => client.getExecution(executionId),
  get_execution_logs: ({ executionId }) => client.getExecutionLogs(executionId),
  append_execution_logs: ({ executionId, logs }, options) => client.appendExecutionLogs(executionId, logs, options),
  cancel_execution: ({ executionId }, options) => client.cancelExecution(executionId, options),
  get_status: () => client.getStatus(),
  list_workers: () => client.listWorkers(),
  get_audit_log: (part) => client.getAuditLog(part),
  wait_for_execution: ({ executionId }, options) => client.waitForExecution(executionId, options),
  iterate_tasks: (filters) => collected(client.iterateTasks(filters)),
  iterate_executions: ({ taskId, ...paging }) => collected(client.iterateExecutions(taskId, paging)),
  connect,
  show_client: () => [inspect(client, { depth: 9, showHidden: true }), String(client), JSON.stringify(client)].join('\n'),
};

/**
 * @param {Arguments} given
 * @param {Arguments} options
 */
function connect({ baseUrl, apiKey }, { timeoutMs }) {
  client = new TaskSchedulerClient({
    ...CLIENT,
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}

/**
 * @template T
 * @param {AsyncIterable<T>} items
 */
async function collected(items) {
  const list = [];
  for await (const item of items) {
    list.push(item);
  }
  return list;
}

/** @param {Arguments} given */
function camelled(given) {
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [camel(name), value]));
}

/** @param {string} name */
function camel(name) {
  return name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
}

/** @param {string} name */
function snake(name) {
  return name === 'last7Days' ? 'last_7_days' : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * A decoded value as the contract writes it.
 *
 * @param {any} value
 * @returns {any}
 */
function canonical(value) {
  if (value instanceof Date) {
    return { $instant: value.toISOString() };
  }
  if (Array.isArray(value)) {
    return value.map(canonical);
  }
  if (typeof value !== 'object' || value === null) {
    return value ?? null;
  }
  return Object.fromEntries(
    Object.keys(value).map((name) => [snake(name), USERS.has(name) ? value[name] : canonical(value[name])]),
  );
}

/** @param {any} value */
function modelOf(value) {
  const one = Array.isArray(value) ? value[0] : value;
  return typeof one === 'object' && one !== null ? one.constructor.name : null;
}

/** @param {any} error */
function shown(error) {
  const problem = error instanceof ApiError ? error : null;
  return {
    type: error.name,
    status: problem?.status ?? null,
    code: problem?.code ?? null,
    title: problem?.title ?? null,
    detail: problem?.detail ?? null,
    request_id: problem?.requestId ?? null,
    errors: problem?.errors ?? null,
    extensions: problem?.extensions ?? {},
    retry_after: problem?.retryAfter ?? null,
    message: error.message,
    shown: `${inspect(error, { depth: 9, showHidden: true })}\n${error}\n${error.stack}\n${JSON.stringify(error)}`,
  };
}

/**
 * @param {string} line
 * @returns {Promise<object>}
 */
async function answer(line) {
  const { call, arguments: given = {} } = JSON.parse(line);
  const entries = Object.entries(given);
  const members = camelled(Object.fromEntries(entries.filter(([name]) => !OPTIONS.has(name))));
  const { timeoutS, ...options } = camelled(Object.fromEntries(entries.filter(([name]) => OPTIONS.has(name))));
  const timed = timeoutS === undefined ? options : { ...options, timeoutMs: timeoutS * 1000 };
  try {
    const value = await CALLS[call](members, timed);
    return { model: modelOf(value), value: canonical(value) };
  } catch (error) {
    return { error: shown(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
