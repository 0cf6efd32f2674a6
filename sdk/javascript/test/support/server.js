/** A server on a port of its own that answers as a test says, and keeps what it was asked. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';

import { TaskSchedulerClient } from 'task-scheduler-sdk';

export const KEY = 'tq_test_0123456789abcdef';

/**
 * @typedef {object} Asked
 * @property {string} method
 * @property {string} url
 * @property {import('node:http').IncomingHttpHeaders} headers
 * @property {any} body parsed; undefined where there was none
 */

/**
 * @typedef {object} Given
 * @property {number} [status]
 * @property {Record<string, string>} [headers]
 * @property {unknown} [json]
 * @property {string | Buffer} [text]
 * @property {'cut' | 'silence' | 'half'} [instead] of a whole answer
 */

/**
 * Serve these answers, one after the other and the last of them for good, while the test runs.
 *
 * @param {import('node:test').TestContext} test
 * @param {Given[]} answers
 * @param {Partial<import('task-scheduler-sdk').ClientOptions>} [options]
 */
export async function serving(test, answers, options = {}) {
  /** @type {Asked[]} */
  const asked = [];
  const server = createServer((request, response) => {
    /** @type {Buffer[]} */
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      const { method = '', url = '', headers } = request;
      asked.push({ method, url, headers, body: text === '' ? undefined : JSON.parse(text) });
      give(response, answers[Math.min(asked.length, answers.length) - 1]);
    });
  });
  const url = await listening(test, server);
  test.after(() => server.closeAllConnections());
  return { asked, url, client: new TaskSchedulerClient({ baseUrl: url, apiKey: KEY, ...options }) };
}

/**
 * Serve bytes that need not be HTTP.
 *
 * @param {import('node:test').TestContext} test
 * @param {string} bytes
 */
export async function servingBytes(test, bytes) {
  const server = createTcpServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', () => socket.end(bytes));
  });
  const url = await listening(test, server);
  return new TaskSchedulerClient({ baseUrl: url, apiKey: KEY, maxTries: 1 });
}

/**
 * A problem as the API writes it.
 *
 * @param {number} status
 * @param {string} code
 * @param {object} [more]
 * @returns {Given}
 */
export function problem(status, code, more = {}) {
  const json = { type: 'about:blank', title: 'No', status, code, detail: 'it is so', request_id: 'r1', ...more };
  return { status, headers: { 'content-type': 'application/problem+json' }, json };
}

/**
 * @param {import('node:test').TestContext} test
 * @param {import('node:net').Server} server
 */
async function listening(test, server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(() => server.close());
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return `http://127.0.0.1:${port}`;
}

/**
 * @param {import('node:http').ServerResponse} response
 * @param {Given} given
 */
function give(response, { status = 200, headers = {}, json, text, instead }) {
  const body = text ?? (json === undefined ? '' : JSON.stringify(json));
  if (instead === 'cut') {
    response.destroy();
  } else if (instead === 'half') {
    response.writeHead(200, { 'content-length': '1000' }).write('{"task_id"', () => response.destroy());
  } else if (instead !== 'silence') {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
  }
}
