import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';

import { EXECUTION, TASK, taskPage } from './support/answers.js';
import { problem, serving } from './support/server.js';

test('a request without an answer ends with the limit of the client', async (t) => {
  const { client } = await serving(t, [{ instead: 'silence' }], { timeoutMs: 50 });
  await assert.rejects(client.getTask('t'), { name: 'RequestTimeoutError', message: /^getTask: no answer within 50 ms/ });
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
    message: /within 300 ms; its status is pending/,
  });
});

test('waitForExecution ends with its signal and with the error of a request', async (t) => {
  const { client } = await serving(t, [{ json: EXECUTION }, problem(404, 'not_found')]);
  await assert.rejects(client.waitForExecution('e1', { signal: AbortSignal.abort('gone') }), (reason) => reason === 'gone');
  await assert.rejects(client.waitForExecution('e1'), { name: 'NotFoundError' });
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

test('an iterator asks for no page that nobody wants', async (t) => {
  const { client, asked } = await serving(t, [{ json: taskPage(['a', 'b'], 5) }]);
  for await (const task of client.iterateTasks({ pageSize: 2 })) {
    assert.equal(task.taskId, 'a');
    break;
  }
  assert.equal(asked.length, 1);
});
