/** What calls are rejected with. No message and no cause holds the API key. */

/** Everything that goes wrong between this SDK and the API. */
export class TaskSchedulerError extends Error {
  /**
   * @param {string} message
   * @param {{ cause?: unknown }} [options]
   */
  constructor(message, options) {
    super(message, options);
    /**
     * Status of the answer; null without one.
     *
     * @type {number | null}
     */
    this.status = null;
    /**
     * What went wrong, as a stable word for programs; null where nobody said.
     *
     * @type {string | null}
     */
    this.code = null;
  }
}

/**
 * A wrong field of a request.
 *
 * @typedef {object} FieldProblem
 * @property {string | null} pointer where it is in the body: a JSON pointer in the API's names
 * @property {string | null} parameter the name of the parameter of path, query or header
 * @property {string} detail what is wrong with it
 */

/**
 * What an answer says that says no: the members of its problem (RFC 9457), null where it has none.
 *
 * @typedef {object} Problem
 * @property {number} status
 * @property {string | null} code
 * @property {string | null} title
 * @property {string | null} detail
 * @property {string | null} requestId
 * @property {readonly FieldProblem[] | null} errors
 * @property {number | null} retryAfter seconds after which to try again
 * @property {Readonly<Record<string, unknown>>} extensions all its other members, under the API's names
 */

/** The API, or somebody before it, answered that it did not do what it was asked for. */
export class ApiError extends TaskSchedulerError {
  /**
   * Status of the answer.
   *
   * @override
   * @type {number}
   */
  status;

  /**
   * @param {string} message
   * @param {Problem} problem
   */
  constructor(message, problem) {
    super(message);
    this.status = problem.status;
    this.code = problem.code;
    this.title = problem.title;
    this.detail = problem.detail;
    /** Under which the log of the API has the request. */
    this.requestId = problem.requestId;
    this.errors = problem.errors;
    this.retryAfter = problem.retryAfter;
    this.extensions = problem.extensions;
  }
}

/** 400: the request is no JSON, or JSON that two readers could understand differently. */
export class BadRequestError extends ApiError {}

/** 401: no key that holds. */
export class AuthenticationError extends ApiError {}

/** 403: the scope of the key is not enough. */
export class PermissionDeniedError extends ApiError {}

/** 404: nothing has this id. */
export class NotFoundError extends ApiError {}

/** 409: what is there does not allow it now; `code` says what. */
export class ConflictError extends ApiError {}

/** 412: the task has changed since. */
export class PreconditionFailedError extends ApiError {}

/** 413: the request is too large. */
export class PayloadTooLargeError extends ApiError {}

/** 422: fields are wrong; `errors` names them. */
export class ValidationError extends ApiError {}

/** 429: more requests than the quota of the key. */
export class RateLimitedError extends ApiError {}

/** 5xx: the API, or something before it, failed. */
export class ServerError extends ApiError {}

/** 503: the API cannot answer at the moment. */
export class ServiceUnavailableError extends ServerError {}

/** No connection, or one that was cut. `code` is what the system calls it, such as ECONNREFUSED. */
export class ConnectError extends TaskSchedulerError {
  /**
   * @param {string} message
   * @param {string | null} code
   * @param {unknown} cause
   */
  constructor(message, code, cause) {
    super(message, { cause });
    this.code = code;
  }
}

/** There was no answer in time. */
export class RequestTimeoutError extends TaskSchedulerError {}

/** What came is not JSON, not what the API answers, or too much of it. */
export class MalformedAnswerError extends TaskSchedulerError {}

/** An execution has not ended in the time that it was waited for. */
export class WaitTimeoutError extends TaskSchedulerError {}

// A stack begins with the name that the prototype has when the error is made.
for (const Class of [
  TaskSchedulerError, ApiError, BadRequestError, AuthenticationError, PermissionDeniedError, NotFoundError, ConflictError,
  PreconditionFailedError, PayloadTooLargeError, ValidationError, RateLimitedError, ServerError, ServiceUnavailableError,
  ConnectError, RequestTimeoutError, MalformedAnswerError, WaitTimeoutError,
]) {
  Object.defineProperty(Class.prototype, 'name', { value: Class.name, configurable: true, writable: true });
}
