/** One call to the API: its request, sent again where that is safe, and its answer. */

import { randomUUID } from 'node:crypto';

import { ApiError, ConnectError, MalformedAnswerError, RequestTimeoutError } from './errors.js';
import { apiError } from './problems.js';
import { visible } from './requests.js';
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
    const tries = isSafe(call) ? this.#settings.maxTries : 1;
    for (let done = 1; ; done += 1) {
      try {
        return await this.#once(call, request, limit, options.signal);
      } catch (error) {
        const pause = done < tries ? pauseBefore(error, done) : null;
        if (pause === null) {
          throw error;
        }
        await sleep(pause, options.signal);
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
      init.body = JSON.stringify(call.body);
    }
    return { url: `${this.#settings.baseUrl}/api/v1${call.path}${query === '' ? '' : `?${query}`}`, init };
  }

  /**
   * @template T
   * @param {Call<T>} call
   * @param {{ url: string, init: RequestInit }} request
   * @param {number} limit
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<T>}
   */
  async #once(call, request, limit, signal) {
    try {
      return await within(limit, signal, async (inner) => {
        const { fetch } = this.#settings;
        const response = await fetch(request.url, { ...request.init, signal: inner });
        return await this.#answer(call, response);
      });
    } catch (error) {
      throw signal?.aborted ? signal.reason : this.#translated(call.name, error, limit);
    }
  }

  /**
   * @template T
   * @param {Call<T>} call
   * @param {Response} response
   * @returns {Promise<T>}
   */
  async #answer(call, response) {
    const body = await read(call.name, response);
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
   * Make an error of ours from one of fetch.
   *
   * @param {string} name
   * @param {unknown} error
   * @param {number} limit
   * @returns {unknown}
   */
  #translated(name, error, limit) {
    if (error instanceof Expired) {
      return new RequestTimeoutError(
        `${name}: no answer within ${limit} ms. Look whether the API is well, or give it longer with timeoutMs`,
      );
    }
    // fetch and the readers of bodies reject with a TypeError whose cause says what happened.
    if (!(error instanceof TypeError)) {
      return error;
    }
    const cause = /** @type {any} */ (error.cause);
    const code = typeof cause?.code === 'string' ? cause.code : null;
    const safe = this.#withoutKey(error);
    if (code?.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW') {
      return new MalformedAnswerError(`${name}: what answers speaks no HTTP (${code}). Check that baseUrl is right`, {
        cause: safe,
      });
    }
    const what = this.#redacted(String(cause?.message || code || error.message));
    const message = `${name}: no connection to the API, or it was cut: ${what}. Look whether it runs at baseUrl`;
    return new ConnectError(message, code, safe);
  }

  /**
   * @param {Error} error
   * @returns {Error} `error`, or one without its text where that holds the key
   */
  #withoutKey(error) {
    /** @type {unknown} */
    let next = error;
    for (let depth = 0; depth < 8 && next instanceof Error; depth += 1) {
      if (`${next.name} ${next.message} ${next.stack}`.includes(this.#settings.apiKey)) {
        return new Error('an error whose text is left out, for it holds the API key');
      }
      next = next.cause;
    }
    return error;
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
