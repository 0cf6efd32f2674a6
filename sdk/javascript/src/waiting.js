/** Waits for the end of an execution. */

import { ApiError, ConnectError, RequestTimeoutError, WaitTimeoutError } from './errors.js';
import { Expired, milliseconds, sleep, within } from './time.js';

/** @typedef {import('./types.js').ExecutionDetails} ExecutionDetails */

const ENDED = new Set(['success', 'failed', 'cancelled', 'skipped']);

/** After these nobody knows how the execution does, and the next look may tell. */
const PASSING = new Set([429, 502, 503, 504]);

/** Milliseconds between two looks. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 2_000;

/**
 * Return an execution once it has ended.
 *
 * @param {(signal: AbortSignal) => Promise<ExecutionDetails>} look
 * @param {number} limit milliseconds for the whole wait
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<ExecutionDetails>}
 * @throws {WaitTimeoutError} whose cause is the error of the last look, where that failed
 */
export async function untilEnded(look, limit, signal) {
  let status = 'not known';
  /** @type {Error | undefined} */
  let failure;
  try {
    return await within(milliseconds('timeoutMs', limit), signal, async (inner) => {
      for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 1.5, LONGEST_PAUSE)) {
        let told = 0;
        try {
          const execution = await look(inner);
          if (hasEnded(execution)) {
            return execution;
          }
          status = execution.status;
          failure = undefined;
        } catch (error) {
          if (inner.aborted || !isPassing(error)) {
            throw error;
          }
          failure = error;
          told = error instanceof ApiError ? (error.retryAfter ?? 0) * 1000 : 0;
        }
        await sleep(Math.min(Math.max(pause, told), limit), inner);
      }
    });
  } catch (error) {
    // What `signal` was aborted with may be the end of a wait around this one.
    throw error instanceof Expired && error !== signal?.reason ? timeout(limit, status, failure) : error;
  }
}

/**
 * @param {ExecutionDetails} execution its status may be a word of a newer API
 * @returns {boolean}
 */
function hasEnded({ status, completedAt }) {
  return ENDED.has(status) || completedAt !== null;
}

/**
 * @param {unknown} error
 * @returns {error is Error}
 */
function isPassing(error) {
  const isLost = error instanceof ConnectError || error instanceof RequestTimeoutError;
  return isLost || (error instanceof ApiError && PASSING.has(error.status));
}

/**
 * @param {number} limit
 * @param {string} status
 * @param {Error | undefined} failure
 */
function timeout(limit, status, failure) {
  const state = `it has not ended within ${limit} ms; its last known status is ${status}`;
  const message = `waitForExecution: ${state}. Wait again, or give it longer`;
  return failure === undefined
    ? new WaitTimeoutError(message)
    : new WaitTimeoutError(`${message}. The last look failed: ${failure.message}`, { cause: failure });
}
