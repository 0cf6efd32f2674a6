/** Waits that end: by their limit, and by the caller's signal. */

/** The longest delay that setTimeout keeps: 2^31 - 1 milliseconds. */
const LONGEST = 2_147_483_647;

/** The limit of `within` has passed. */
export class Expired extends Error {}

/**
 * Check a limit that a caller gives.
 *
 * @param {string} name
 * @param {number} value
 * @returns {number} `value`
 * @throws {TypeError}
 */
export function milliseconds(name, value) {
  if (typeof value !== 'number' || !(value > 0 && value <= LONGEST)) {
    throw new TypeError(`${name} must be a number of milliseconds above 0 and at most ${LONGEST}`);
  }
  return value;
}

/**
 * Do `work`, whose signal is aborted when `limit` milliseconds have passed or `signal` is aborted.
 *
 * @template T
 * @param {number} limit
 * @param {AbortSignal | undefined} signal
 * @param {(signal: AbortSignal) => Promise<T>} work
 * @returns {Promise<T>}
 * @throws {Expired} when the limit has passed; the reason of `signal` when that was aborted
 */
export async function within(limit, signal, work) {
  signal?.throwIfAborted();
  // AbortSignal.any would do the same, but Node 18 has none.
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new Expired()), limit);
  const pass = () => controller.abort(signal?.reason);
  signal?.addEventListener('abort', pass, { once: true });
  try {
    return await work(controller.signal);
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', pass);
  }
}

/**
 * @param {number} duration milliseconds
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<void>}
 * @throws the reason of `signal` when that is aborted
 */
export function sleep(duration, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, duration);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
