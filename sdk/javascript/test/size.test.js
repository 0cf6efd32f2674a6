/** No function of more than 40 lines, no file of more than 400, no line of more than 130 characters. */

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';

const ROOT = new URL('../', import.meta.url);

/** A line that opens a block of statements, by its indent; one of a class, of types or of a literal opens none. */
const BLOCK = /^( *)(?!.*\b(class|interface|import|export \{|export type)\b)(?!.*[=([{,:] *\{$)(?! *\{$).*\{$/;

for (const folder of ['src', 'contract', 'test', 'test/support', 'test/types']) {
  test(`the files in ${folder} keep to the sizes`, async () => {
    for (const name of (await readdir(new URL(folder, ROOT))).filter((entry) => /\.[jt]s$/.test(entry))) {
      const lines = (await readFile(new URL(`${folder}/${name}`, ROOT), 'utf8')).trimEnd().split('\n');
      assert.ok(lines.length <= 400, `${folder}/${name} has ${lines.length} lines`);
      lines.forEach((line, index) => {
        assert.ok(line.length <= 130, `${folder}/${name}:${index + 1} has ${line.length} characters`);
        assert.ok(blockLength(lines, index) <= 40, `${folder}/${name}:${index + 1}: more than 40 lines in one block`);
      });
    }
  });
}

test('a block that is too long is found', () => {
  for (const first of ['  async get(a) {', 'export function f() {', "test('x', async (t) => {", '  const f = () => {']) {
    const indent = /^ */.exec(first)?.[0];
    const last = first.startsWith('test') ? '});' : `${indent}}`;
    assert.equal(blockLength([first, ...Array(40).fill(`${indent}  x;`), last], 0), 42);
  }
});

/**
 * @param {string[]} lines
 * @param {number} first
 * @returns {number} 0 where no block begins
 */
function blockLength(lines, first) {
  const indent = BLOCK.exec(lines[first])?.[1];
  if (indent === undefined) {
    return 0;
  }
  return lines.findIndex((line, index) => index > first && line.startsWith(`${indent}}`)) - first + 1;
}
