/** One call to the API: its request, sent again where that is safe, and its answer. */

import { randomUUID } from 'node:crypto';

import { ApiError, ConnectError, MalformedAnswerError, RequestTimeoutError, TaskSchedulerError } from './errors.js';
import { apiError } from './problems.js';
import { json, visible } from './requests.js';
import { Expired, milliseconds, sleep, within } from './time.js';
import { VERSION } from './version.js';

/**
 * What is to be asked.
 *
 * @template T
 * @typedef {object} Call
 * @property {string} name of the method, for messages
 * @property {'GET' | 'POST' | 'PATCH' | 'DELETE'} method
 * @property {string} path after /api/v1, its ids encoded
 * @property {[string, string][]} [query]
 * @property {unknown} [body] in the API's names
 * @property {string | undefined} [ifMatch]
 * @property {import('./decoding.js').Decoder<T> | null} answer null where the answer has no body
 */

/**
 * @typedef {object} Settings
 * @property {string} baseUrl
 * @property {string} apiKey
 * @property {number} timeoutMs
 * @property {number} maxTries
 * @property {typeof globalThis.fetch} fetch
 */

/** Bytes of an answer that are read at most. */
const LARGEST = 64 * 1024 * 1024;

/** Milliseconds before the second try, at most; each further one may wait twice as long. */
const FIRST_PAUSE = 250;

/** Seconds. Who is told to wait longer is told so by the error instead. */
const LONGEST_RETRY_AFTER = 30;

const PASSING = new Set([429, 502, 503, 504]);

/** Causes of causes that are kept. */
const DEEPEST = 8;

/** @typedef {Error & { code?: string, cause?: Told }} Told */

/** Sends the calls of one client, and alone knows its key. */
export class Transport {
  #settings;

  /** @param {Settings} settings */
  constructor(settings) {
    this.#settings = settings;
  }

  /**
   * @template T
   * @param {Call<T>} call
   * @param {import('./types.js').PostOptions} options
   * @returns {Promise<T>}
   */
  async send(call, options) {
    const limit = milliseconds('timeoutMs', options.timeoutMs ?? this.#settings.timeoutMs);
    const request = this.#request(call, options);
    const end = performance.now() + limit;
    try {
      return await within(limit, options.signal, (inner) => this.#tried(call, request, inner, end));
    } catch (error) {
      // What the signal was aborted with may be the end of a wait around this call.
      throw error instanceof Expired && error !== options.signal?.reason
        ? new RequestTimeoutError(
            `${call.name}: no answer within ${limit} ms. Look whether the API is well, or give it longer with timeoutMs`,
          )
        : error;
    }
  }

  /**
   * @template T
   * @param {Call<T>} call
   * @param {{ url: string, init: RequestInit }} request
   * @param {AbortSignal} signal
   * @param {number} end until when, of performance.now()
   * @returns {Promise<T>}
   */
  async #tried(call, request, signal, end) {
    const tries = isSafe(call) ? this.#settings.maxTries : 1;
    for (let done = 1; ; done += 1) {
      try {
        return await this.#once(call, request, signal);
      } catch (error) {
        const pause = done < tries ? pauseBefore(error, done) : null;
        // An error that says what is wrong is worth more than the end of the time.
        if (pause === null || performance.now() + pause >= end) {
          throw error;
        }
        await sleep(pause, signal);
      }
    }
  }

  /**
   * @param {Call<unknown>} call
   * @param {import('./types.js').PostOptions} options
   * @returns {{ url: string, init: RequestInit }}
   */
  #request(call, options) {
    const query = new URLSearchParams(call.query).toString();
    /** @type {Record<string, string>} */
    const headers = {
      accept: 'application/json',
      authorization: `Bearer ${this.#settings.apiKey}`,
      'user-agent': `task-scheduler-sdk-javascript/${VERSION}`,
    };
    if (call.method === 'POST') {
      headers['idempotency-key'] = visible('idempotencyKey', options.idempotencyKey ?? randomUUID());
    }
    if (call.ifMatch !== undefined) {
      headers['if-match'] = visible('ifMatch', call.ifMatch);
    }
    /** @type {RequestInit} */
    const init = { method: call.method, headers, redirect: 'manual' };
    if (call.body !== undefined) {
      headers['content-type'] = 'application/json';
      init.body = json(call.body);
    }
    return { url: `${this.#settings.baseUrl}/api/v1${call.path}${query === '' ? '' : `?${query}`}`, init };
  }

  /**
   * @template T
   * @param {Call<T>} call
   * @param {{ url: string, init: RequestInit }} request
   * @param {AbortSignal} signal
   * @returns {Promise<T>}
   */
  async #once(call, request, signal) {
    const { response, body } = await this.#exchanged(call.name, request, signal);
    const redact = (/** @type {string} */ text) => this.#redacted(text);
    if (!response.ok) {
      throw apiError(call.name, response.status, response.headers, new TextDecoder().decode(body), redact);
    }
    if (call.answer === null) {
      return /** @type {T} */ (undefined);
    }
    const etag = response.headers.get('etag');
    return call.answer(withEtag(parsed(call.name, response, body, redact), etag), call.name);
  }

  /**
   * @param {string} name
   * @param {{ url: string, init: RequestInit }} request
   * @param {AbortSignal} signal
   * @returns {Promise<{ response: Response, body: Uint8Array }>}
   */
  async #exchanged(name, request, signal) {
    try {
      const { fetch } = this.#settings;
      const response = await fetch(request.url, { ...request.init, signal });
      return { response, body: await read(name, response) };
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof TaskSchedulerError ? error : this.#translated(name, error);
    }
  }

  /**
   * Make an error of ours from one of fetch, or of the reader of a body.
   *
   * @param {string} name
   * @param {unknown} error
   * @returns {TaskSchedulerError}
   */
  #translated(name, error) {
    // That of Node is a TypeError whose cause says what happened.
    const told = this.#told(error);
    const code = told.cause?.code ?? told.code ?? null;
    if (code?.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW') {
      return new MalformedAnswerError(`${name}: what answers speaks no HTTP (${code}). Check that baseUrl is right`, {
        cause: told,
      });
    }
    const what = (told.cause ?? told).message || code || told.message || told.name;
    const message = `${name}: no connection to the API, or it was cut: ${what}. Look whether it runs at baseUrl`;
    return new ConnectError(message, code, told);
  }

  /**
   * Make an error that says the same, without the key. All else that it holds, such as the request of a user's fetch, stays out.
   *
   * @param {any} error
   * @param {number} [depth]
   * @returns {Told}
   */
  #told(error, depth = 0) {
    /** @param {unknown} value */
    const text = (value) => (typeof value === 'string' ? this.#redacted(value) : undefined);
    const told = /** @type {Told} */ (new Error(text(error?.message ?? error)));
    Object.defineProperty(told, 'name', { value: text(error?.name) ?? 'Error' });
    Object.defineProperty(told, 'stack', { value: text(error?.stack) ?? `${told}` });
    const code = text(error?.code);
    if (code !== undefined) {
      told.code = code;
    }
    if (error?.cause && depth < DEEPEST) {
      Object.defineProperty(told, 'cause', { value: this.#told(error.cause, depth + 1) });
    }
    return told;
  }

  /** @param {string} text */
  #redacted(text) {
    return text.replaceAll(this.#settings.apiKey, '***');
  }
}

/**
 * Whether a call may be sent again when nobody knows what became of it: reading changes nothing, and the API makes what a
 * POST asks for once for each Idempotency-Key.
 *
 * @param {Call<unknown>} call
 */
function isSafe(call) {
  return call.method === 'GET' || call.method === 'POST';
}

/**
 * Milliseconds to wait before the next try, with full jitter over the upper half; null where the error will not pass.
 *
 * @param {unknown} error
 * @param {number} done tries so far
 * @returns {number | null}
 */
function pauseBefore(error, done) {
  const pause = FIRST_PAUSE * 2 ** (done - 1) * (0.5 + Math.random() / 2);
  if (error instanceof ConnectError) {
    return pause;
  }
  if (!(error instanceof ApiError) || !isPassing(error)) {
    return null;
  }
  const told = error.retryAfter ?? 0;
  return told > LONGEST_RETRY_AFTER ? null : Math.max(pause, told * 1000);
}

/** @param {ApiError} error */
function isPassing(error) {
  // The key is in use while a try that was cut is still in work; its answer is there soon.
  return PASSING.has(error.status) || error.code === 'idempotency_key_in_use';
}

/**
 * Read a body, up to LARGEST bytes.
 *
 * @param {string} name
 * @param {Response} response
 * @returns {Promise<Uint8Array>}
 */
async function read(name, response) {
  /** @type {Uint8Array[]} */
  const chunks = [];
  const reader = response.body?.getReader();
  let size = 0;
  for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
    chunks.push(next.value);
    size += next.value.byteLength;
    if (size > LARGEST) {
      await reader?.cancel();
      throw new MalformedAnswerError(`${name}: the answer has more than ${LARGEST} bytes. Ask for less at once`);
    }
  }
  const body = new Uint8Array(size);
  let end = size;
  for (const chunk of chunks.reverse()) {
    end -= chunk.byteLength;
    body.set(chunk, end);
  }
  return body;
}

/**
 * @param {string} name
 * @param {Response} response
 * @param {Uint8Array} body
 * @param {(text: string) => string} redact
 * @returns {unknown}
 */
function parsed(name, response, body, redact) {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    const type = redact(response.headers.get('content-type') ?? 'no content type');
    throw new MalformedAnswerError(
      `${name}: the answer ${response.status} is not JSON (${type}, ${body.length} bytes). Check that baseUrl is that of the API`,
    );
  }
}

/**
 * The version of a task comes as a header; our models have it among their members.
 *
 * @param {unknown} body
 * @param {string | null} etag
 * @returns {unknown}
 */
function withEtag(body, etag) {
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? { ...body, etag } : body;
}
