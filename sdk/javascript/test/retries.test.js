import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CREATED, TASK } from './support/answers.js';
import { problem, serving } from './support/server.js';

for (const status of [429, 502, 503, 504]) {
  test(`a GET that is answered with ${status} is sent again`, async (t) => {
    const { client, asked } = await serving(t, [problem(status, 'c'), { json: TASK }]);
    assert.equal((await client.getTask('t')).taskId, TASK.task_id);
    assert.equal(asked.length, 2);
  });
}

for (const instead of /** @type {const} */ (['cut', 'half'])) {
  test(`a POST whose answer is ${instead} is sent again under the same Idempotency-Key`, async (t) => {
    const { client, asked } = await serving(t, [{ instead }, { status: 201, json: CREATED }]);
    await client.createTask({ taskName: 'n', taskType: 'cron', scheduleExpression: '@daily' });
    const [first, second] = asked;
    assert.equal(second.headers['idempotency-key'], first.headers['idempotency-key']);
    assert.deepEqual(second.body, first.body);
  });
}

test('a POST whose first try is still in work is sent again', async (t) => {
  const { client, asked } = await serving(t, [
    { instead: 'cut' },
    problem(409, 'idempotency_key_in_use'),
    { json: { task_id: 't', status: 'paused', paused_at: null } },
  ]);
  await client.pauseTask('t');
  assert.equal(asked.length, 3);
});

/** @typedef {import('task-scheduler-sdk').TaskSchedulerClient} Client */

for (const [what, call] of /** @type {[string, (client: Client) => Promise<unknown>][]} */ ([
  ['PATCH', (client) => client.updateTask('t', { priority: 'low' })],
  ['DELETE', (client) => client.deleteTask('t')],
])) {
  test(`a ${what} is sent once, for nobody knows what became of it`, async (t) => {
    const { client, asked } = await serving(t, [problem(503, 'unavailable'), { instead: 'cut' }]);
    await assert.rejects(call(client), { name: 'ServiceUnavailableError' });
    await assert.rejects(call(client), { name: 'ConnectError' });
    assert.equal(asked.length, 2);
  });
}

for (const status of [400, 404, 409, 422, 500]) {
  test(`${status} will not pass, and is not tried again`, async (t) => {
    const { client, asked } = await serving(t, [problem(status, 'c')]);
    await assert.rejects(client.getTask('t'), { status });
    assert.equal(asked.length, 1);
  });
}

test('after maxTries the last error is raised', async (t) => {
  const { client, asked } = await serving(t, [problem(503, 'first'), problem(503, 'last')], { maxTries: 2 });
  await assert.rejects(client.getTask('t'), { code: 'last' });
  assert.equal(asked.length, 2);
});

test('Retry-After is obeyed', async (t) => {
  const { client } = await serving(t, [withRetryAfter('1'), { json: TASK }]);
  const began = performance.now();
  await client.getTask('t');
  assert.ok(performance.now() - began >= 990);
});

for (const value of ['31', new Date(Date.now() + 90_000).toUTCString()]) {
  test(`a Retry-After that is too long is left to the caller: ${value.length > 4 ? 'a date' : value}`, async (t) => {
    const { client, asked } = await serving(t, [withRetryAfter(value)]);
    const error = await client.getTask('t').catch((reason) => reason);
    assert.ok(error.retryAfter >= 31 && error.retryAfter <= 90);
    assert.equal(asked.length, 1);
  });
}

test('the wait before another try ends with the signal', async (t) => {
  const { client, asked } = await serving(t, [withRetryAfter('20')]);
  const controller = new AbortController();
  const call = client.getTask('t', { signal: controller.signal });
  while (asked.length === 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  controller.abort(new Error('enough'));
  await assert.rejects(call, /^Error: enough$/);
});

/** @param {string} value */
function withRetryAfter(value) {
  const given = problem(503, 'unavailable');
  return { ...given, headers: { ...given.headers, 'retry-after': value } };
}
