/** From what a caller gives to what the API takes. */

/**
 * Members of requests by their names here. One that is not listed is sent under the name it was given, so that a field of a
 * newer API can be used; what stands inside a member is never renamed.
 *
 * @type {ReadonlyMap<string, string>}
 */
const NAMES = new Map(Object.entries({
  taskName: 'task_name',
  taskType: 'task_type',
  scheduleExpression: 'schedule_expression',
  nextExecutionTime: 'next_execution_time',
  timeoutSeconds: 'timeout_seconds',
  maxRetries: 'max_retries',
  taskTypeId: 'task_type_id',
  dependsOnTaskId: 'depends_on_task_id',
  dependencyType: 'dependency_type',
  userIds: 'user_ids',
  userId: 'user_id',
}));

/**
 * Make the body of a request. What is undefined is left out.
 *
 * @param {object} given
 * @returns {Record<string, unknown>}
 * @throws {TypeError} for a Date that is none
 */
export function body(given) {
  return Object.fromEntries(
    Object.entries(given)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [NAMES.get(name) ?? name, plain(name, value)]),
  );
}

/**
 * Make the query of a request. What is undefined is left out, and a list becomes one parameter for each item.
 *
 * @param {object} given
 * @returns {[string, string][]}
 */
export function query(given) {
  return Object.entries(given)
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [value].flat().map((one) => pair(NAMES.get(name) ?? name, String(plain(name, one)))));
}

/**
 * @param {string} name
 * @param {string} value
 * @returns {[string, string]}
 */
function pair(name, value) {
  return [name, value];
}

/**
 * Make a path of fixed segments and one id.
 *
 * @param {TemplateStringsArray} segments
 * @param {...string} ids
 * @returns {string}
 * @throws {TypeError} for an id that cannot stand in a path
 */
export function path(segments, ...ids) {
  return String.raw({ raw: segments }, ...ids.map(encoded));
}

/** @param {unknown} id */
function encoded(id) {
  // Dots alone would lead to another path, encoded or not (WHATWG URL, section 4.4).
  if (typeof id !== 'string' || id === '' || id === '.' || id === '..' || !isWellFormed(id)) {
    throw new TypeError('an id must be a text that is not empty, such as the taskId of an answer');
  }
  return encodeURIComponent(id);
}

/** @param {string} text */
function isWellFormed(text) {
  return !/\p{Surrogate}/u.test(text);
}

/**
 * @param {string} name
 * @param {unknown} value
 */
function plain(name, value) {
  if (!(value instanceof Date)) {
    return value;
  }
  if (Number.isNaN(value.getTime())) {
    throw new TypeError(`${name} is an invalid Date`);
  }
  return value.toISOString();
}

/**
 * Write JSON that says what it was given. JSON.stringify makes null of a number that is none and {} of a Map, without a word.
 *
 * @param {unknown} value
 * @returns {string}
 * @throws {TypeError} that names the place of what JSON cannot say, by a JSON pointer in the API's names
 */
export function json(value) {
  /** @type {Map<unknown, string>} */
  const places = new Map();
  return JSON.stringify(value, function replaced(key, member) {
    const parent = places.get(this);
    const place = parent === undefined ? '' : `${parent}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const wrong = unsaid(member, this[key], Array.isArray(this));
    if (wrong !== null) {
      throw new TypeError(
        `${place} is ${wrong}, for which JSON has no word; give null, a text, a finite number, a list or a plain object`,
      );
    }
    if (typeof member === 'object' && member !== null) {
      places.set(member, place);
    }
    return member;
  });
}

/**
 * @param {unknown} member
 * @param {unknown} given what it was before its toJSON
 * @param {boolean} inList
 * @returns {string | null} what it is, where JSON cannot say it
 */
function unsaid(member, given, inList) {
  if (typeof member === 'number') {
    return Number.isFinite(member) ? null : String(member);
  }
  if (given instanceof Date && Number.isNaN(given.getTime())) {
    return 'an invalid Date';
  }
  if (typeof member === 'object') {
    const [, kind] = /^\[object ((?:Weak)?(?:Map|Set))\]$/.exec(Object.prototype.toString.call(member)) ?? [];
    return kind === undefined ? null : `a ${kind}`;
  }
  if (member === undefined) {
    return inList ? 'undefined in a list' : null;
  }
  return ['function', 'symbol', 'bigint'].includes(typeof member) ? `a ${typeof member}` : null;
}

/**
 * @param {unknown} baseUrl
 * @returns {string} without a slash at its end
 * @throws {TypeError} without showing the address, which may hold a password
 */
export function address(baseUrl) {
  const url = typeof baseUrl === 'string' ? parsedUrl(baseUrl) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || `${url.username}${url.password}${url.search}${url.hash}` !== '') {
    throw new TypeError('baseUrl must be an address such as https://api.example.com, without user, password, ? and #');
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** @param {string} text */
function parsedUrl(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/**
 * @param {string} name
 * @param {string} value
 * @returns {string} `value`
 * @throws {TypeError} where it cannot stand in a header; without showing it
 */
export function visible(name, value) {
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
    throw new TypeError(`${name} must be a text of visible ASCII characters, without blanks`);
  }
  return value;
}
