/** Lists that come in pages. */

import { TaskSchedulerError } from './errors.js';

/**
 * A list to go through.
 *
 * @template T
 * @typedef {object} List
 * @property {string} name of the method, for messages
 * @property {number} pageSize items to ask for at once
 * @property {(paging: { limit: number, offset: number }) => Promise<import('./types.js').Items<T> & Counted>} page
 * @property {(item: T) => string} id
 */

/** @typedef {{ readonly total: number, readonly totalIsExact?: boolean }} Counted */

/**
 * Go through all items, the pages of which are got one after the other. The offset grows by what was asked for, whatever
 * came: an item that is new meanwhile moves others to the next page, where they are left out as known; one that goes
 * moves others to a page that has been passed.
 *
 * @template T
 * @param {List<T>} list
 * @returns {AsyncGenerator<T, void, undefined>}
 * @throws {TypeError} for a page size that leads nowhere
 * @throws {TaskSchedulerError} after the last item, where the API did not look at all of them
 */
export async function* all({ name, pageSize, page, id }) {
  if (!Number.isInteger(pageSize) || pageSize < 1) {
    throw new TypeError('pageSize must be an integer above 0');
  }
  let known = new Set();
  let isWhole = true;
  for (let offset = 0, total = 1; offset < total; offset += pageSize) {
    const items = await page({ limit: pageSize, offset });
    const fresh = [...items].filter((item) => !known.has(id(item)));
    known = new Set(items.map(id));
    total = items.total;
    isWhole &&= items.totalIsExact !== false;
    yield* fresh;
  }
  if (!isWhole) {
    throw new TaskSchedulerError(
      `${name}: of these filters together the API looked at the latest 10,000 candidates only; there may be older tasks. ` +
        'Use one filter alone, and check the other ones yourself',
    );
  }
}
