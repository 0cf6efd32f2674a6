/** Lists that come in pages. */

/**
 * Go through all items, the pages of which are got one after the other. Items that come or go meanwhile shift the pages: one
 * may be seen twice, or not at all.
 *
 * @template T
 * @param {(offset: number) => Promise<import('./types.js').Items<T> & { total: number }>} page
 * @returns {AsyncGenerator<T, void, undefined>}
 */
export async function* all(page) {
  for (let offset = 0; ; ) {
    const items = await page(offset);
    yield* items;
    offset += items.length;
    if (items.length === 0 || offset >= items.total) {
      return;
    }
  }
}
