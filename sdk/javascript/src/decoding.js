/**
 * From parsed JSON to frozen objects: a decoder checks a value and gives it its type.
 *
 * Only the members that a model declares are renamed to camelCase. What a decoder calls JSON stays as it was sent.
 */

import { MalformedAnswerError } from './errors.js';

/**
 * @template T
 * @typedef {(value: unknown, at: string) => T} Decoder `at` says where in the answer the value is. Raises MalformedAnswerError.
 */

/**
 * @template {string} S
 * @typedef {S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S} Camel
 */

/**
 * @template {Record<string, Decoder<any>>} F
 * @typedef {{ readonly [K in keyof F & string as Camel<K>]: ReturnType<F[K]> }} Decoded
 */

/**
 * @param {string} at
 * @param {string} wanted
 * @param {unknown} value
 * @returns {never}
 */
function refuse(at, wanted, value) {
  const kind = value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value;
  const found = value === undefined ? 'is missing' : `is ${kind}`;
  throw new MalformedAnswerError(
    `${at} of the answer ${found} where ${wanted} belongs. Check that baseUrl is that of the API, and update the SDK`,
  );
}

/**
 * @param {unknown} value
 * @param {string} at
 */
export function string(value, at) {
  return typeof value === 'string' ? value : refuse(at, 'a string', value);
}

/**
 * @param {unknown} value
 * @param {string} at
 */
export function number(value, at) {
  return typeof value === 'number' ? value : refuse(at, 'a number', value);
}

/**
 * @param {unknown} value
 * @param {string} at
 */
export function integer(value, at) {
  return Number.isInteger(value) ? /** @type {number} */ (value) : refuse(at, 'an integer', value);
}

/**
 * @param {unknown} value
 * @param {string} at
 */
export function boolean(value, at) {
  return typeof value === 'boolean' ? value : refuse(at, 'true or false', value);
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/**
 * An instant of RFC 3339 as a Date, which cuts it to milliseconds.
 *
 * @param {unknown} value
 * @param {string} at
 */
export function instant(value, at) {
  const date = typeof value === 'string' && RFC_3339.test(value) ? new Date(value) : null;
  return date !== null && !Number.isNaN(date.getTime()) ? date : refuse(at, 'an instant of RFC 3339', value);
}

/**
 * Any JSON value, as it was sent, and frozen in all its depth.
 *
 * @param {unknown} value
 * @param {string} at
 * @returns {any} what the type of the model says
 */
export function json(value, at) {
  if (value === undefined) {
    refuse(at, 'a JSON value', value);
  }
  // A list of its own instead of recursion: an answer may be nested more deeply than the stack allows.
  const left = [value];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if (typeof next === 'object' && next !== null) {
      for (const inner of Object.values(Object.freeze(next))) {
        left.push(inner);
      }
    }
  }
  return value;
}

/**
 * One of the words that the type lists, or a word of a newer server.
 *
 * @template {string} W
 * @returns {Decoder<W>}
 */
export function word() {
  return (value, at) => /** @type {W} */ (string(value, at));
}

/**
 * @template T
 * @param {Decoder<T>} decode
 * @returns {Decoder<T | null>}
 */
export function nullable(decode) {
  return (value, at) => (value === null ? null : decode(value, at));
}

/**
 * @template T, D
 * @param {Decoder<T>} decode
 * @param {D} missing what a member is that the answer leaves out
 * @returns {Decoder<T | D>}
 */
export function optional(decode, missing) {
  return (value, at) => (value === undefined ? missing : decode(value, at));
}

/**
 * @template T
 * @param {Decoder<T>} decode
 * @returns {Decoder<readonly T[]>}
 */
export function list(decode) {
  return (value, at) => {
    const items = Array.isArray(value) ? value : refuse(at, 'a list', value);
    return Object.freeze(items.map((item, index) => decode(item, `${at}/${index}`)));
  };
}

/**
 * An object of a class called `name`, with these members. Members of the answer that it does not declare are left out.
 *
 * @template {Record<string, Decoder<any>>} F
 * @param {string} name
 * @param {F} fields decoders by the names of the API
 * @returns {Decoder<Decoded<F>>}
 */
export function model(name, fields) {
  return build(name, fields, class {});
}

/**
 * The same, of a class whose objects are gone through by the items in one of their members.
 *
 * @template {Record<string, Decoder<any>>} F
 * @template {keyof F & string} P
 * @param {string} name
 * @param {P} member
 * @param {F} fields decoders by the names of the API
 * @returns {Decoder<Decoded<F> & import('./types.js').Items<ReturnType<F[P]>[number]>>}
 */
export function page(name, member, fields) {
  class Page {
    get length() {
      return items(this).length;
    }

    /** @param {(item: any, index: number) => void} visit */
    forEach(visit) {
      items(this).forEach((item, index) => visit(item, index));
    }

    /** @param {(item: any, index: number) => any} make */
    map(make) {
      return items(this).map((item, index) => make(item, index));
    }

    [Symbol.iterator]() {
      return items(this)[Symbol.iterator]();
    }
  }
  /**
   * @param {object} self
   * @returns {readonly any[]}
   */
  const items = (self) => /** @type {any} */ (self)[member];
  return build(name, fields, Page);
}

/**
 * @param {string} name
 * @param {Record<string, Decoder<any>>} fields
 * @param {new () => object} Base
 * @returns {Decoder<any>}
 */
function build(name, fields, Base) {
  const { [name]: Model } = { [name]: class extends Base {} };
  const members = Object.entries(fields).map(([key, decode]) => ({ key, decode, property: camel(key) }));
  return (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return refuse(at, 'an object', value);
    }
    const given = /** @type {Record<string, unknown>} */ (value);
    const made = /** @type {any} */ (new Model());
    for (const { key, decode, property } of members) {
      made[property] = decode(Object.hasOwn(given, key) ? given[key] : undefined, `${at}/${key}`);
    }
    return Object.freeze(made);
  };
}

/** @param {string} key */
function camel(key) {
  return key.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
}
