import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';

import * as sdk from 'task-scheduler-sdk';

import { KEY, problem, serving } from './support/server.js';

for (const [status, Class] of /** @type {[number, new (...given: any[]) => sdk.ApiError][]} */ ([
  [400, sdk.BadRequestError],
  [401, sdk.AuthenticationError],
  [403, sdk.PermissionDeniedError],
  [404, sdk.NotFoundError],
  [405, sdk.ApiError],
  [409, sdk.ConflictError],
  [412, sdk.PreconditionFailedError],
  [413, sdk.PayloadTooLargeError],
  [422, sdk.ValidationError],
  [429, sdk.RateLimitedError],
  [500, sdk.ServerError],
  [503, sdk.ServiceUnavailableError],
])) {
  test(`${status} is a ${Class.name}`, async (t) => {
    const { client } = await serving(t, [problem(status, 'some_code')], { maxTries: 1 });
    const error = await client.getTask('t').catch((reason) => reason);
    assert.equal(error.constructor, Class);
    assert.ok(error instanceof sdk.ApiError);
    assert.deepEqual([error.name, error.status, error.code, error.requestId], [Class.name, status, 'some_code', 'r1']);
    assert.match(error.message, new RegExp(`^getTask: the API answered ${status} some_code: it is so\\. \\w.*\\(request r1\\)$`));
    assert.ok(error.stack?.startsWith(`${Class.name}: getTask`));
  });
}

test('every member of a problem can be read', async (t) => {
  const errors = [{ pointer: '/priority', detail: 'must be high' }, { parameter: 'limit', detail: 'is too high' }];
  const given = problem(422, 'invalid', { errors, cycle: ['a', 'b'] });
  const { client } = await serving(t, [{ ...given, headers: { ...given.headers, 'retry-after': '7' } }]);
  const error = await client.getTask('t').catch((reason) => reason);
  assert.deepEqual([error.title, error.detail, error.retryAfter], ['No', 'it is so', 7]);
  assert.deepEqual(error.errors, [
    { pointer: '/priority', parameter: null, detail: 'must be high' },
    { pointer: null, parameter: 'limit', detail: 'is too high' },
  ]);
  assert.deepEqual(error.extensions, { cycle: ['a', 'b'] });
});

test('the page of a proxy is the class of its status', async (t) => {
  const { client } = await serving(t, [{ status: 500, text: '<h1>oh</h1>', headers: { 'content-type': 'text/html' } }]);
  const error = await client.getTask('t').catch((reason) => reason);
  assert.equal(error.constructor, sdk.ServerError);
  assert.deepEqual([error.code, error.title, error.detail, error.errors, error.extensions], [null, null, null, null, {}]);
});

test('a problem that is damaged does no more harm than none', async (t) => {
  const headers = { 'content-type': 'application/problem+json' };
  for (const text of ['{', '[]', 'null', '{"code": 7, "errors": [null], "detail": {}}']) {
    const { client } = await serving(t, [{ status: 404, text, headers }]);
    await assert.rejects(client.getTask('t'), { name: 'NotFoundError', code: null, detail: null });
  }
});

test('a redirect is not followed', async (t) => {
  const { client, asked } = await serving(t, [{ status: 307, headers: { location: '/elsewhere' } }]);
  await assert.rejects(client.getTask('t'), { name: 'ApiError', status: 307 });
  assert.equal(asked.length, 1);
});

test('an address where nobody listens is a ConnectError that says what to do', async (t) => {
  const { url } = await serving(t, []);
  const port = Number(new URL(url).port);
  const client = new sdk.TaskSchedulerClient({ baseUrl: `http://127.0.0.2:${port}`, apiKey: KEY, maxTries: 1 });
  const error = await client.getStatus().catch((reason) => reason);
  assert.equal(error.constructor, sdk.ConnectError);
  assert.equal(error.code, 'ECONNREFUSED');
  assert.deepEqual([error.cause.name, error.cause.cause.code], ['TypeError', 'ECONNREFUSED']);
  assert.match(error.message, /Look whether it runs at baseUrl/);
});

for (const instead of /** @type {const} */ (['cut', 'half'])) {
  test(`an answer that is ${instead} is a ConnectError`, async (t) => {
    const { client } = await serving(t, [{ instead }], { maxTries: 1 });
    await assert.rejects(client.getTask('t'), sdk.ConnectError);
  });
}

/** @param {unknown} value */
function everythingOf(value) {
  const { stack } = /** @type {Error} */ (value);
  return `${inspect(value, { depth: 20, showHidden: true })} ${value} ${JSON.stringify(value)} ${stack}`;
}

test('whatever a fetch of the user rejects with is a ConnectError with its name, message and code', async (t) => {
  const { url } = await serving(t, []);
  const reason = Object.assign(new Error('no way'), { name: 'FetchError', code: 'EHOSTUNREACH' });
  const client = new sdk.TaskSchedulerClient({ baseUrl: url, apiKey: KEY, maxTries: 1, fetch: () => Promise.reject(reason) });
  const error = await client.getStatus().catch((given) => given);
  assert.equal(error.constructor, sdk.ConnectError);
  assert.match(error.message, /or it was cut: no way\. Look/);
  assert.deepEqual([error.code, error.cause.code], ['EHOSTUNREACH', 'EHOSTUNREACH']);
  assert.equal(`${error.cause}`, 'FetchError: no way');
});

test('the client does not show its key', async (t) => {
  const { client } = await serving(t, []);
  assert.ok(!everythingOf(client).includes(KEY));
});

/**
 * What a fetch of a user rejects with, that keeps what it was given.
 *
 * @type {((init: RequestInit | undefined) => unknown)[]}
 */
const LEAKS = [
  (init) => new TypeError('fetch failed', { cause: new Error(`headers were ${JSON.stringify(init?.headers)}`) }),
  (init) => new TypeError('fetch failed', { cause: Object.assign(new Error('boom'), { options: init }) }),
  (init) => Object.assign(new Error('no'), { name: 'FetchError', code: 'ECONNREFUSED', request: init, [Symbol('s')]: init }),
  (init) => Object.assign(new Error('no'), { name: KEY, code: KEY, stack: KEY, cause: { message: KEY, init } }),
  () => KEY,
  () => undefined,
];

test('no error shows the key, not even where the API or a fetch of the user repeats it', async (t) => {
  const echo = problem(422, 'invalid', { detail: `bad ${KEY}`, errors: [{ pointer: KEY, detail: KEY }], more: { deep: [KEY] } });
  const asEscapes = `"${[...KEY].map((letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;
  const escaped = { ...problem(409, 'c'), text: `{"detail": ${asEscapes}}` };
  const { client, url } = await serving(t, [
    echo,
    escaped,
    { status: 500, text: KEY, headers: { 'content-type': KEY, 'x-request-id': KEY } },
    { text: KEY, headers: { 'content-type': KEY } },
    { instead: 'cut' },
  ], { maxTries: 1 });
  const rejecting = LEAKS.map((leak) => {
    /** @type {typeof globalThis.fetch} */
    const fetch = async (_, init) => Promise.reject(leak(init));
    return new sdk.TaskSchedulerClient({ baseUrl: url, apiKey: KEY, maxTries: 1, fetch });
  });
  for (const caller of [client, client, client, client, client, ...rejecting]) {
    const error = await caller.getTask('t').catch((reason) => reason);
    assert.ok(error instanceof sdk.TaskSchedulerError);
    assert.ok(!everythingOf(error).includes(KEY), everythingOf(error));
  }
});
