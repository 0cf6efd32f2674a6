/** From an answer that says no to the error that is raised. */

import * as errors from './errors.js';

/** @typedef {import('./errors.js').Problem} Problem */
/** @typedef {import('./errors.js').FieldProblem} FieldProblem */

/** @type {Readonly<Record<number, typeof errors.ApiError>>} */
const CLASSES = {
  400: errors.BadRequestError,
  401: errors.AuthenticationError,
  403: errors.PermissionDeniedError,
  404: errors.NotFoundError,
  409: errors.ConflictError,
  412: errors.PreconditionFailedError,
  413: errors.PayloadTooLargeError,
  422: errors.ValidationError,
  429: errors.RateLimitedError,
  503: errors.ServiceUnavailableError,
};

/** @type {Readonly<Record<number, string>>} */
const REMEDIES = {
  400: 'Correct the request',
  401: 'Give the client an apiKey that holds; it may be revoked or expired',
  403: 'Use an apiKey with a wider scope',
  404: 'Look whether the id is right, and baseUrl that of the API',
  408: 'Send it again over a faster connection',
  409: 'Look at what is there, then decide',
  412: 'Get the task again and use its etag',
  413: 'Send less at once',
  422: 'Correct the fields that `errors` names',
  429: 'Send fewer requests, or wait for `retryAfter` seconds',
};

/**
 * @param {number} status
 * @returns {string}
 */
function remedy(status) {
  if (status < 400) {
    return 'Redirects are not followed: give the client the baseUrl that it leads to';
  }
  return REMEDIES[status] ?? (status < 500 ? 'Correct the request' : 'Try again later; if it stays so, tell the operator');
}

/**
 * Make the error that an answer stands for.
 *
 * @param {string} call name of the method
 * @param {number} status
 * @param {Headers} headers
 * @param {string} text its body
 * @param {(text: string) => string} redact takes the key out of a text
 * @returns {errors.ApiError}
 */
export function apiError(call, status, headers, text, redact) {
  const problem = problemOf(status, headers, members(headers, text, redact), redact);
  const said = [problem.code, problem.detail ?? problem.title].filter((part) => part !== null).join(': ');
  const id = problem.requestId === null ? '' : ` (request ${problem.requestId})`;
  const message = `${call}: the API answered ${status}${said === '' ? '' : ` ${said}`}. ${remedy(status)}${id}`;
  const Class = CLASSES[status] ?? (status >= 500 ? errors.ServerError : errors.ApiError);
  return new Class(message, problem);
}

/**
 * Members of a problem document; none where the body is none.
 *
 * @param {Headers} headers
 * @param {string} text
 * @param {(text: string) => string} redact
 * @returns {Record<string, unknown>}
 */
function members(headers, text, redact) {
  if (!/^application\/problem\+json\b/i.test(headers.get('content-type') ?? '')) {
    return {};
  }
  try {
    const parsed = JSON.parse(text, (_, value) => (typeof value === 'string' ? redact(value) : value));
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

/**
 * @param {number} status
 * @param {Headers} headers
 * @param {Record<string, unknown>} given
 * @param {(text: string) => string} redact
 * @returns {Problem}
 */
function problemOf(status, headers, given, redact) {
  // `status` of the problem repeats that of the answer; type and instance say nothing beside `code`.
  const { type: _type, instance: _instance, status: _status, code, title, detail, request_id, errors: wrong, ...rest } = given;
  return Object.freeze({
    status,
    code: text(code),
    title: text(title),
    detail: text(detail),
    requestId: text(request_id) ?? text(headers.get('x-request-id'), redact),
    errors: Array.isArray(wrong) ? Object.freeze(wrong.map(fieldProblem)) : null,
    retryAfter: retryAfter(headers.get('retry-after')),
    extensions: Object.freeze(rest),
  });
}

/**
 * @param {any} given
 * @returns {FieldProblem}
 */
function fieldProblem(given) {
  return Object.freeze({
    pointer: text(given?.pointer),
    parameter: text(given?.parameter),
    detail: text(given?.detail) ?? 'is wrong',
  });
}

/**
 * @param {unknown} value
 * @param {(text: string) => string} [redact]
 * @returns {string | null}
 */
function text(value, redact = (said) => said) {
  return typeof value === 'string' ? redact(value) : null;
}

/**
 * Seconds of a Retry-After, which has them, or an instant as HTTP writes it (RFC 9110, section 10.2.3).
 *
 * @param {string | null} value
 * @returns {number | null}
 */
function retryAfter(value) {
  if (value === null) {
    return null;
  }
  if (/^\d{1,9}$/.test(value)) {
    return Number(value);
  }
  const until = Date.parse(value);
  return Number.isNaN(until) ? null : Math.max(0, Math.ceil((until - Date.now()) / 1000));
}
