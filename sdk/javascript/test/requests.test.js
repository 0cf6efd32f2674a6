import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { TaskSchedulerClient, VERSION } from 'task-scheduler-sdk';

import { CREATED, TASK, taskPage } from './support/answers.js';
import { KEY, serving } from './support/server.js';

test('members of a request are renamed, and what stands inside them is not', async (t) => {
  const { client, asked } = await serving(t, [{ status: 201, json: CREATED }]);
  const payload = { reportType: 'daily', snake_case: [{ deepKey: null }], taskName: 'mine' };
  await client.createTask({
    taskName: 'n',
    taskType: 'cron',
    scheduleExpression: '0 0 * * *',
    payload,
    tags: { teamName: 'x' },
    timeoutSeconds: 5,
    maxRetries: 1,
    taskTypeId: 'report',
    config: { endpoint: 'https://example.com', headers: { 'X-camelCase': '1' }, max_duration: '5s' },
    priority: undefined,
  });
  assert.deepEqual(asked[0].body, {
    task_name: 'n',
    task_type: 'cron',
    schedule_expression: '0 0 * * *',
    payload,
    tags: { teamName: 'x' },
    timeout_seconds: 5,
    max_retries: 1,
    task_type_id: 'report',
    config: { endpoint: 'https://example.com', headers: { 'X-camelCase': '1' }, max_duration: '5s' },
  });
});

test('an instant may be a Date or a text', async (t) => {
  const { client, asked } = await serving(t, [{ status: 201, json: { created: 2, failed: 0, task_ids: [] } }]);
  const at = new Date('2124-01-08T15:00:00.5Z');
  await client.createTasks([
    { taskName: 'a', taskType: 'one_time', nextExecutionTime: at },
    { taskName: 'b', taskType: 'one_time', nextExecutionTime: '2124-01-08T16:00:00+01:00' },
  ]);
  assert.deepEqual(
    asked[0].body.tasks.map((/** @type {any} */ task) => task.next_execution_time),
    ['2124-01-08T15:00:00.500Z', '2124-01-08T16:00:00+01:00'],
  );
});

test('a member that this version does not know is sent under its own name', async (t) => {
  const { client, asked } = await serving(t, [{ status: 201, json: CREATED }]);
  const task = /** @type {any} */ ({ taskName: 'n', not_yet_known: 1, constructor: 2 });
  await client.createTask(task);
  assert.deepEqual(asked[0].body, { task_name: 'n', not_yet_known: 1, constructor: 2 });
});

test('each request says who sends it, with which key, and a POST has an Idempotency-Key', async (t) => {
  const { client, asked } = await serving(t, [{ status: 201, json: CREATED }]);
  const task = /** @type {const} */ ({ taskName: 'n', taskType: 'cron', scheduleExpression: '@daily' });
  await client.createTask(task);
  await client.createTask(task);
  await client.createTask(task, { idempotencyKey: 'mine' });
  const [first, second, third] = asked.map(({ headers }) => headers);
  assert.equal(first.authorization, `Bearer ${KEY}`);
  assert.equal(first['user-agent'], `task-scheduler-sdk-javascript/${VERSION}`);
  assert.equal(first['content-type'], 'application/json');
  assert.match(String(first['idempotency-key']), /^[0-9a-f-]{36}$/);
  assert.notEqual(second['idempotency-key'], first['idempotency-key']);
  assert.equal(third['idempotency-key'], 'mine');
});

test('the version is that of the package', async () => {
  const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));
  assert.equal(VERSION, manifest.version);
});

test('ids are encoded, and a path in baseUrl stays', async (t) => {
  const { url, asked } = await serving(t, [{ json: TASK }]);
  const client = new TaskSchedulerClient({ baseUrl: `${url}/behind/a%20proxy//`, apiKey: KEY });
  await client.getTask('a/../b?c#d é%');
  assert.equal(asked[0].url, '/behind/a%20proxy/api/v1/tasks/a%2F..%2Fb%3Fc%23d%20%C3%A9%25');
});

test('an id that would lead to another path is refused', async (t) => {
  const { client, asked } = await serving(t, [{ json: TASK }]);
  for (const id of ['', '.', '..', '\ud800', /** @type {any} */ (undefined), /** @type {any} */ (7)]) {
    await assert.rejects(client.getTask(id), TypeError);
  }
  assert.equal(asked.length, 0);
});

test('filters become a query, and several tags several parameters', async (t) => {
  const { client, asked } = await serving(t, [{ json: taskPage([], 0) }]);
  await client.listTasks({ taskType: 'cron', tag: ['a:b c', 'd:&'], limit: 5, name: undefined });
  assert.equal(asked[0].url, '/api/v1/tasks?task_type=cron&tag=a%3Ab+c&tag=d%3A%26&limit=5');
});

test('updateTask sends the version that is to be changed', async (t) => {
  const updated = { task_id: 't', updated_fields: ['priority'], next_execution_time: null, updated_at: TASK.updated_at };
  const { client, asked } = await serving(t, [{ json: updated, headers: { etag: '"4"' } }]);
  const answer = await client.updateTask('t', { priority: 'low' }, { ifMatch: '"3"' });
  assert.equal(asked[0].headers['if-match'], '"3"');
  assert.equal(asked[0].headers['idempotency-key'], undefined);
  assert.equal(answer.etag, '"4"');
});

for (const apiKey of ['', 'a b', 'a\nb', 'schlüssel', '\u0000', /** @type {any} */ (undefined)]) {
  test(`a key that cannot stand in a header is refused without being shown: ${JSON.stringify(apiKey)}`, () => {
    assert.throws(
      () => new TaskSchedulerClient({ baseUrl: 'http://x', apiKey }),
      (error) => error instanceof TypeError && (!apiKey || !error.message.includes(apiKey)),
    );
  });
}

for (const baseUrl of ['', 'x', 'ftp://x', 'http://user:geheim@x', 'http://x?geheim=1', 'http://x#geheim']) {
  test(`an address that cannot be that of an API is refused without being shown: ${baseUrl}`, () => {
    assert.throws(
      () => new TaskSchedulerClient({ baseUrl, apiKey: KEY }),
      (error) => error instanceof TypeError && !error.message.includes('geheim'),
    );
  });
}

for (const [what, wrong] of /** @type {[string, unknown][]} */ ([
  ['NaN', NaN],
  ['-Infinity', -Infinity],
  ['a Map', new Map([[1, 2]])],
  ['a Set', new Set([1])],
  ['a function', () => 1],
  ['a symbol', Symbol('s')],
  ['a bigint', 1n],
  ['an invalid Date', new Date(NaN)],
  ['undefined in a list', undefined],
])) {
  test(`what JSON has no word for is refused with its place: ${what}`, async (t) => {
    const { client, asked } = await serving(t, [{ json: TASK }]);
    const payload = { fine: [0, new Date(0), undefined].slice(0, 2), 'a/b~': [{ deep: 1 }, wrong] };
    await assert.rejects(client.updateTask('t', { payload }), {
      name: 'TypeError',
      message: new RegExp(`^/payload/a~1b~0/1 is ${what}, for which JSON has no word`),
    });
    assert.equal(asked.length, 0);
  });
}

test('what JSON can say is sent as JSON.stringify says it', async (t) => {
  const updated = { task_id: 't', updated_fields: [], next_execution_time: null, updated_at: TASK.updated_at };
  const { client, asked } = await serving(t, [{ json: updated }]);
  class Report {
    rows = [1.5, -0, 'é', null, true];
    left = undefined;
    at = new Date(0);
    toJSON() {
      return { ...this, own: { toJSON: () => 'word' } };
    }
  }
  const payload = { report: new Report(), again: Object.create(null) };
  await client.updateTask('t', { payload });
  assert.deepEqual(asked[0].body, JSON.parse(JSON.stringify({ payload })));
});

test('wrong options are refused before anything is sent', async (t) => {
  const { client, asked } = await serving(t, [{ json: TASK }]);
  for (const timeoutMs of [0, -1, NaN, Infinity, 2 ** 31, /** @type {any} */ ('1')]) {
    await assert.rejects(client.getTask('t', { timeoutMs }), TypeError);
  }
  await assert.rejects(client.pauseTask('t', { idempotencyKey: 'a\nb' }), TypeError);
  await assert.rejects(client.updateTask('t', { nextExecutionTime: new Date(NaN) }), TypeError);
  await assert.rejects(client.updateTask('t', { payload: 1n }), TypeError);
  for (const wrong of [{ maxTries: 0 }, { timeoutMs: 0 }, { fetch: /** @type {any} */ (null) }]) {
    assert.throws(() => new TaskSchedulerClient({ baseUrl: 'http://x', apiKey: KEY, ...wrong }), TypeError);
  }
  assert.equal(asked.length, 0);
});
