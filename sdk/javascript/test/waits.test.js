import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';

import { TaskSchedulerError } from 'task-scheduler-sdk';

import { EXECUTION, TASK, taskPage } from './support/answers.js';
import { problem, serving } from './support/server.js';

test('a request without an answer ends with the limit of the client', async (t) => {
  const { client } = await serving(t, [{ instead: 'silence' }], { timeoutMs: 50 });
  await assert.rejects(client.getTask('t'), { name: 'RequestTimeoutError', message: /^getTask: no answer within 50 ms/ });
});

test('the limit is for all tries of a call and the pauses between them', async (t) => {
  const { client, asked } = await serving(t, [problem(503, 'c'), { instead: 'silence' }], { timeoutMs: 600 });
  const began = performance.now();
  await assert.rejects(client.getTask('t'), { name: 'RequestTimeoutError', message: /within 600 ms/ });
  assert.ok(performance.now() - began < 850);
  assert.equal(asked.length, 2);
});

test('an error comes at once where the pause after it would not fit into the limit', async (t) => {
  const busy = problem(503, 'c');
  const { client, asked } = await serving(t, [{ ...busy, headers: { ...busy.headers, 'retry-after': '3' } }]);
  const began = performance.now();
  await assert.rejects(client.getStatus({ timeoutMs: 1_000 }), { name: 'ServiceUnavailableError' });
  assert.ok(performance.now() - began < 900);
  assert.equal(asked.length, 1);
});

test('a call may have a limit of its own', async (t) => {
  const { client } = await serving(t, [{ instead: 'silence' }]);
  await assert.rejects(client.getStatus({ timeoutMs: 50 }), { name: 'RequestTimeoutError' });
});

test('a signal that is aborted rejects with its reason', async (t) => {
  const { client, asked } = await serving(t, [{ instead: 'silence' }]);
  const reason = new Error('the user left');
  await assert.rejects(client.getTask('t', { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(asked.length, 0);
  const controller = new AbortController();
  const call = client.getTask('t', { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(call, reason);
  await assert.rejects(client.getTask('t', { signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' });
});

test('a signal that outlives the calls keeps nothing of them', async (t) => {
  const { client } = await serving(t, [problem(503, 'c'), { json: TASK }]);
  const { signal } = new AbortController();
  await client.getTask('t', { signal });
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

test('waitForExecution returns the execution once it has ended', async (t) => {
  const ended = { ...EXECUTION, status: 'failed', completed_at: '2024-01-08T10:00:01Z' };
  const running = { ...EXECUTION, status: 'running' };
  const { client, asked } = await serving(t, [{ json: EXECUTION }, { json: running }, { json: ended }]);
  const execution = await client.waitForExecution('e1');
  assert.equal(execution.status, 'failed');
  assert.equal(asked.length, 3);
});

test('waitForExecution ends with its limit, also while a request is without an answer', async (t) => {
  const { client } = await serving(t, [{ json: EXECUTION }, { instead: 'silence' }]);
  await assert.rejects(client.waitForExecution('e1', { timeoutMs: 300 }), {
    name: 'WaitTimeoutError',
    message: /within 300 ms; its last known status is pending/,
  });
});

test('waitForExecution ends with its signal and with the error of a request', async (t) => {
  const { client } = await serving(t, [{ json: EXECUTION }, problem(404, 'not_found')]);
  await assert.rejects(client.waitForExecution('e1', { signal: AbortSignal.abort('gone') }), (reason) => reason === 'gone');
  await assert.rejects(client.waitForExecution('e1'), { name: 'NotFoundError' });
});

test('waitForExecution asks on while the API cannot be reached or is busy', async (t) => {
  const ended = { ...EXECUTION, status: 'success', completed_at: '2024-01-08T10:00:01Z' };
  const busy = [429, 502, 503, 504].map((status) => problem(status, 'c'));
  const options = { maxTries: 1, timeoutMs: 200 };
  const { client, asked } = await serving(t, [{ instead: 'cut' }, ...busy, { instead: 'silence' }, { json: ended }], options);
  assert.equal((await client.waitForExecution('e1')).status, 'success');
  assert.equal(asked.length, 7);
});

test('a wait that ends in vain names the error of its last look', async (t) => {
  const { client } = await serving(t, [{ json: EXECUTION }, problem(503, 'unavailable')], { maxTries: 1 });
  const error = await client.waitForExecution('e1', { timeoutMs: 400 }).catch((reason) => reason);
  assert.equal(error.name, 'WaitTimeoutError');
  assert.match(error.message, /its last known status is pending\. .*The last look failed: getExecution: .* 503 unavailable/);
  assert.equal(error.cause.name, 'ServiceUnavailableError');
});

test('an error after which the execution was seen is not why a wait ended in vain', async (t) => {
  const { client } = await serving(t, [problem(503, 'unavailable'), { json: EXECUTION }], { maxTries: 1 });
  const error = await client.waitForExecution('e1', { timeoutMs: 400 }).catch((reason) => reason);
  assert.equal(error.name, 'WaitTimeoutError');
  assert.equal(error.cause, undefined);
});

test('waitForExecution waits as long as it is told to before it asks again', async (t) => {
  const busy = problem(429, 'c');
  const { client, asked } = await serving(t, [{ ...busy, headers: { ...busy.headers, 'retry-after': '60' } }]);
  await assert.rejects(client.waitForExecution('e1', { timeoutMs: 400 }), { name: 'WaitTimeoutError' });
  assert.equal(asked.length, 1);
});

test('an execution that has completed has ended, whatever a newer API calls that', async (t) => {
  const ended = { ...EXECUTION, status: 'expired', completed_at: '2024-01-08T10:00:01Z' };
  const { client } = await serving(t, [{ json: { ...EXECUTION, status: 'dozing' } }, { json: ended }]);
  assert.equal((await client.waitForExecution('e1', { timeoutMs: 5_000 })).status, 'expired');
});

test('iterators go through all pages, and stop at an empty one', async (t) => {
  const pages = [taskPage(['a', 'b'], 5), taskPage(['c', 'd'], 5), taskPage([], 5)].map((json) => ({ json }));
  const { client, asked } = await serving(t, pages);
  const ids = [];
  for await (const task of client.iterateTasks({ status: 'paused', pageSize: 2 })) {
    ids.push(task.taskId);
  }
  assert.deepEqual(ids, ['a', 'b', 'c', 'd']);
  assert.deepEqual(
    asked.map(({ url }) => new URL(url, 'http://x').search),
    [0, 2, 4].map((offset) => `?status=paused&limit=2&offset=${offset}`),
  );
});

test('an item that a new one has moved to the next page comes once', async (t) => {
  const pages = [taskPage(['a', 'b'], 3), taskPage(['b', 'c'], 4)].map((json) => ({ json }));
  const { client } = await serving(t, pages);
  assert.deepEqual(await idsOf(client.iterateTasks({ pageSize: 2 })), ['a', 'b', 'c']);
});

test('a page with fewer items than were asked for is not the last one, nor does it move the next one', async (t) => {
  const pages = [taskPage(['a'], 5), taskPage([], 5), taskPage(['e'], 5)].map((json) => ({ json }));
  const { client, asked } = await serving(t, pages);
  assert.deepEqual(await idsOf(client.iterateTasks({ pageSize: 2 })), ['a', 'e']);
  assert.deepEqual(asked.map(({ url }) => new URL(url, 'http://x').searchParams.get('offset')), ['0', '2', '4']);
});

test('an iterator says after the last item that the API looked at a part only', async (t) => {
  const { client } = await serving(t, [{ json: { ...taskPage(['a', 'b'], 2), total_is_exact: false } }]);
  /** @type {string[]} */
  const ids = [];
  const error = await idsOf(client.iterateTasks({ pageSize: 2 }), ids).catch((reason) => reason);
  assert.deepEqual(ids, ['a', 'b']);
  assert.equal(error.constructor, TaskSchedulerError);
  assert.match(error.message, /^iterateTasks: .* latest 10,000 candidates only.* Use one filter alone/);
});

test('a page size that leads nowhere is refused', async (t) => {
  const { client, asked } = await serving(t, [{ json: taskPage(['a', 'b'], 2) }]);
  for (const pageSize of [0, -1, 1.5, NaN]) {
    await assert.rejects(idsOf(client.iterateTasks({ pageSize })), TypeError);
    await assert.rejects(client.iterateExecutions('t', { pageSize }).next(), TypeError);
  }
  assert.equal(asked.length, 0);
});

/**
 * @param {AsyncIterable<{ taskId: string }>} tasks
 * @param {string[]} [ids] where they are collected
 */
async function idsOf(tasks, ids = []) {
  for await (const { taskId } of tasks) {
    ids.push(taskId);
  }
  return ids;
}

test('an iterator asks for no page that nobody wants', async (t) => {
  const { client, asked } = await serving(t, [{ json: taskPage(['a', 'b'], 5) }]);
  for await (const task of client.iterateTasks({ pageSize: 2 })) {
    assert.equal(task.taskId, 'a');
    break;
  }
  assert.equal(asked.length, 1);
});
