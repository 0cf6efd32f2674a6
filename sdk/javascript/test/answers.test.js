import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { MalformedAnswerError } from 'task-scheduler-sdk';

import { EXECUTION, TASK, taskPage } from './support/answers.js';
import { serving, servingBytes } from './support/server.js';

test('declared members are camelCased and typed, with Dates for instants', async (t) => {
  const { client } = await serving(t, [{ json: TASK, headers: { etag: '"7"' } }]);
  const task = await client.getTask('t');
  assert.equal(task.constructor.name, 'TaskDetails');
  assert.equal(task.taskId, TASK.task_id);
  assert.ok(task.nextExecutionTime instanceof Date);
  assert.equal(task.nextExecutionTime.toISOString(), '2024-01-09T05:00:00.000Z');
  assert.equal(task.createdAt.toISOString(), '2024-01-08T10:00:00.190Z');
  assert.equal(task.updatedAt.toISOString(), '2024-01-08T10:00:00.000Z');
  assert.equal(task.lastExecutionTime, null);
  assert.equal(task.etag, '"7"');
});

test('what belongs to the user keeps its keys', async (t) => {
  const { client } = await serving(t, [{ json: TASK }, { json: EXECUTION }]);
  const { payload, tags, config, interval } = await client.getTask('t');
  assert.deepEqual({ payload, tags, config, interval }, {
    payload: TASK.payload, tags: TASK.tags, config: TASK.config, interval: TASK.interval,
  });
  assert.deepEqual((await client.getExecution('e')).result, EXECUTION.result);
});

test('a payload may have members that mean something to JavaScript', async (t) => {
  const text = JSON.stringify(TASK).replace('"report_type"', '"__proto__":{"admin":true},"constructor":1,"report_type"');
  const { client } = await serving(t, [{ text }]);
  const payload = /** @type {any} */ ((await client.getTask('t')).payload);
  assert.deepEqual(Object.keys(payload), ['__proto__', 'constructor', 'report_type', 'camelCase']);
  assert.equal(payload.admin, undefined);
});

test('answers are frozen in all their depth', async (t) => {
  const { client } = await serving(t, [{ json: TASK }, { json: taskPage(['a'], 1) }]);
  const task = /** @type {any} */ (await client.getTask('t'));
  const page = /** @type {any} */ (await client.listTasks());
  for (const change of [
    () => (task.status = 'x'),
    () => (task.payload.camelCase.snake_case[0] = 2),
    () => (task.tags.more = 'x'),
    () => page.tasks.push(1),
    () => (page.tasks[0].status = 'x'),
  ]) {
    assert.throws(change, TypeError);
  }
});

test('members and words of a newer API do no harm', async (t) => {
  const { client } = await serving(t, [{ json: { ...TASK, status: 'dreaming', brand_new: 1 } }]);
  const task = await client.getTask('t');
  assert.equal(task.status, 'dreaming');
  assert.ok(!('brandNew' in task) && !('brand_new' in task));
});

test('what the answer leaves out is the default of the schema', async (t) => {
  const { client } = await serving(t, [{ json: taskPage([], 0) }, { json: { deleted: 1, failed: 0 } }]);
  assert.equal((await client.listTasks()).totalIsExact, true);
  assert.equal((await client.deleteTasks(['a'])).errors, null);
});

test('a page is gone through like a list', async (t) => {
  const { client } = await serving(t, [{ json: taskPage(['a', 'b'], 9) }]);
  const page = await client.listTasks();
  /** @type {[string, number][]} */
  const seen = [];
  page.forEach((task, index) => seen.push([task.taskId, index]));
  assert.deepEqual(seen, [['a', 0], ['b', 1]]);
  assert.deepEqual([...page].map((task) => task.taskId), ['a', 'b']);
  assert.deepEqual(page.map((task) => task.taskId), ['a', 'b']);
  assert.deepEqual([page.length, page.total, page.constructor.name], [2, 9, 'TaskPage']);
  assert.deepEqual(Object.keys(page), ['tasks', 'total', 'limit', 'offset', 'totalIsExact']);
});

const { status: _, ...withoutStatus } = TASK;

for (const [what, json, place] of /** @type {const} */ ([
  ['lacks a member', withoutStatus, '/status'],
  ['has null where that cannot be', { ...TASK, timezone: null }, '/timezone'],
  ['has a text for a number', { ...TASK, max_retries: '3' }, '/max_retries'],
  ['has a fraction for an integer', { ...TASK, max_retries: 0.5 }, '/max_retries'],
  ['has no instant', { ...TASK, created_at: 'yesterday' }, '/created_at'],
  ['has an instant that is none', { ...TASK, created_at: '2024-13-08T10:00:00Z' }, '/created_at'],
  ['is a list', [TASK], 'getTask'],
  ['is null', null, 'getTask'],
])) {
  test(`an answer that ${what} is malformed, and the error names the place`, async (t) => {
    const { client } = await serving(t, [{ json }]);
    await assert.rejects(client.getTask('t'), (error) => error instanceof MalformedAnswerError && error.message.includes(place));
  });
}

for (const [what, given] of /** @type {[string, import('./support/server.js').Given][]} */ ([
  ['a page of HTML', { text: '<html>', headers: { 'content-type': 'text/html' } }],
  ['nothing', { text: '' }],
  ['no UTF-8', { text: Buffer.from([0x22, 0xff, 0x22]) }],
  ['half of JSON', { text: '{"task_id": "a"' }],
])) {
  test(`an answer that is ${what} is malformed`, async (t) => {
    const { client, asked } = await serving(t, [given]);
    await assert.rejects(client.getTask('t'), MalformedAnswerError);
    assert.equal(asked.length, 1);
  });
}

test('bytes that are no HTTP are malformed', async (t) => {
  const client = await servingBytes(t, 'SSH-2.0-OpenSSH_9\r\n\r\n');
  await assert.rejects(client.getTask('t'), MalformedAnswerError);
});

test('an answer that never ends is read up to a bound, also where it was compressed', async (t) => {
  const text = gzipSync(Buffer.alloc(65 * 1024 * 1024, ' '), { level: 1 });
  const { client } = await serving(t, [{ text, headers: { 'content-encoding': 'gzip' } }]);
  await assert.rejects(client.getTask('t'), /more than 67108864 bytes/);
});

test('an answer that is nested more deeply than the stack allows is read', async (t) => {
  const deep = '['.repeat(20_000) + ']'.repeat(20_000);
  const { client } = await serving(t, [{ text: JSON.stringify(EXECUTION).replace('{"snake_case":{"keyOf":1}}', deep) }]);
  assert.ok(Object.isFrozen((await client.getExecution('e')).result));
});
