/** The client: one method for each operation of the API, and what is made of several of them. */

import { taskExplanation } from './models-explanation.js';
import * as models from './models.js';
import { all } from './paging.js';
import { address, body, path, query, visible } from './requests.js';
import { milliseconds } from './time.js';
import { Transport } from './transport.js';
import { untilEnded } from './waiting.js';

/** @typedef {import('./types.js').CallOptions} CallOptions */
/** @typedef {import('./types.js').PostOptions} PostOptions */
/** @typedef {import('./types.js').Paging} Paging */
/** @typedef {import('./types.js').TaskFilter} TaskFilter */
/** @typedef {import('./types.js').ExecutionDetails} ExecutionDetails */

/**
 * @typedef {object} ClientOptions
 * @property {string} baseUrl where the API is, such as https://api.example.com; a path in it stays before /api/v1
 * @property {string} apiKey sent with each request as bearer token
 * @property {number} [timeoutMs] milliseconds for one call, with all its tries and the pauses between them; 30,000 unless given
 * @property {number} [maxTries] how often a call is sent at most where sending it again is safe; 3 unless given
 * @property {typeof globalThis.fetch} [fetch] who sends; that of the platform unless given
 */

/**
 * Calls the API of a task scheduler.
 *
 * Each call is rejected with a TaskSchedulerError where it fails, with a TypeError where its arguments are wrong, and with the
 * reason of its `signal` where that is aborted.
 */
export class TaskSchedulerClient {
  #transport;

  /**
   * @param {ClientOptions} options
   * @throws {TypeError} for an address or a key that cannot be one
   */
  constructor({ baseUrl, apiKey, timeoutMs = 30_000, maxTries = 3, fetch = globalThis.fetch }) {
    if (!Number.isInteger(maxTries) || maxTries < 1) {
      throw new TypeError('maxTries must be an integer above 0');
    }
    if (typeof fetch !== 'function') {
      throw new TypeError('fetch must be a function; Node has one from version 18 on');
    }
    this.#transport = new Transport({
      baseUrl: address(baseUrl),
      apiKey: visible('apiKey', apiKey),
      timeoutMs: milliseconds('timeoutMs', timeoutMs),
      maxTries,
      fetch,
    });
  }

  // --- tasks ----------------------------------------------------------------------------------------------------------

  /**
   * Make a task.
   *
   * @param {import('./types.js').CreateTask} task
   * @param {PostOptions} [options]
   */
  async createTask(task, options = {}) {
    return this.#post('createTask', '/tasks', body(task), models.taskCreated, options);
  }

  /**
   * Make several tasks, each judged on its own: `failed` and `errors` tell of those that were refused.
   *
   * @param {readonly import('./types.js').CreateTask[]} tasks
   * @param {PostOptions} [options]
   */
  async createTasks(tasks, options = {}) {
    return this.#post('createTasks', '/tasks/bulk', { tasks: tasks.map(body) }, models.bulkCreated, options);
  }

  /**
   * @param {string} taskId
   * @param {CallOptions} [options]
   */
  async getTask(taskId, options = {}) {
    return this.#get('getTask', path`/tasks/${taskId}`, {}, models.taskDetails, options);
  }

  /**
   * Get one page of the tasks that the filters let through, the latest first.
   *
   * @param {TaskFilter & Paging & CallOptions} [options]
   */
  async listTasks({ signal, timeoutMs, ...filters } = {}) {
    return this.#get('listTasks', '/tasks', filters, models.taskPage, { signal, timeoutMs });
  }

  /**
   * Go through all tasks that the filters let through, page after page. What is made meanwhile does no harm. Where the loop
   * deletes tasks, or changes them so that a filter holds no more, others move to pages that it has passed, and it misses them:
   * collect the ids first. After the last task it throws a TaskSchedulerError where the API looked at a part of them only.
   *
   * @param {TaskFilter & CallOptions & { pageSize?: number | undefined }} [options]
   */
  async *iterateTasks({ pageSize = 100, ...options } = {}) {
    yield* all({
      name: 'iterateTasks',
      pageSize,
      page: (paging) => this.listTasks({ ...options, ...paging }),
      id: (task) => task.taskId,
    });
  }

  /**
   * Change a task; what is left out stays. With `ifMatch`, the etag of the task as you know it, only that version is changed.
   *
   * @param {string} taskId
   * @param {import('./types.js').UpdateTask} changes
   * @param {CallOptions & { ifMatch?: string | undefined }} [options]
   */
  async updateTask(taskId, changes, { ifMatch, ...options } = {}) {
    const target = path`/tasks/${taskId}`;
    return this.#transport.send(
      { name: 'updateTask', method: 'PATCH', path: target, body: body(changes), ifMatch, answer: models.taskUpdated },
      options,
    );
  }

  /**
   * @param {string} taskId
   * @param {CallOptions} [options]
   */
  async deleteTask(taskId, options = {}) {
    return this.#delete('deleteTask', path`/tasks/${taskId}`, options);
  }

  /**
   * Delete several tasks; `failed` and `errors` tell of those that could not be.
   *
   * @param {readonly string[]} taskIds
   * @param {PostOptions} [options]
   */
  async deleteTasks(taskIds, options = {}) {
    return this.#post('deleteTasks', '/tasks/bulk-delete', { task_ids: taskIds }, models.bulkDeleted, options);
  }

  /**
   * @param {string} taskId
   * @param {PostOptions} [options]
   */
  async pauseTask(taskId, options = {}) {
    return this.#post('pauseTask', path`/tasks/${taskId}/pause`, undefined, models.taskPaused, options);
  }

  /**
   * @param {string} taskId
   * @param {PostOptions} [options]
   */
  async resumeTask(taskId, options = {}) {
    return this.#post('resumeTask', path`/tasks/${taskId}/resume`, undefined, models.taskResumed, options);
  }

  /**
   * Run a task now, beside its schedule. A task type of tasks.yaml runs for the users in `userIds`.
   *
   * @param {string} taskId
   * @param {PostOptions & { userIds?: readonly string[] | undefined }} [options]
   */
  async triggerTask(taskId, { userIds, ...options } = {}) {
    const given = userIds === undefined ? undefined : body({ userIds });
    return this.#post('triggerTask', path`/tasks/${taskId}/trigger`, given, models.taskTriggered, options);
  }

  /**
   * @param {string} taskId
   * @param {CallOptions} [options]
   */
  async getTaskStats(taskId, options = {}) {
    return this.#get('getTaskStats', path`/tasks/${taskId}/stats`, {}, models.taskStatistics, options);
  }

  /**
   * Get why a task did or did not run: for `userId`, where it is a task type of tasks.yaml, and of the occurrence at or before
   * `at`, which is now unless given.
   *
   * @param {string} taskId
   * @param {{ userId?: string | undefined, at?: Date | string | undefined } & CallOptions} [options]
   */
  async explainTask(taskId, { signal, timeoutMs, ...about } = {}) {
    return this.#get('explainTask', path`/tasks/${taskId}/explain`, about, taskExplanation, { signal, timeoutMs });
  }

  // --- dependencies ---------------------------------------------------------------------------------------------------

  /**
   * Let a task wait for another one.
   *
   * @param {string} taskId
   * @param {import('./types.js').AddDependency} dependency
   * @param {PostOptions} [options]
   */
  async addDependency(taskId, dependency, options = {}) {
    return this.#post('addDependency', path`/tasks/${taskId}/dependencies`, body(dependency), models.dependencyAdded, options);
  }

  /**
   * @param {string} taskId
   * @param {CallOptions} [options]
   */
  async listDependencies(taskId, options = {}) {
    return this.#get('listDependencies', path`/tasks/${taskId}/dependencies`, {}, models.dependencyList, options);
  }

  /**
   * @param {string} taskId
   * @param {string} dependencyId
   * @param {CallOptions} [options]
   */
  async removeDependency(taskId, dependencyId, options = {}) {
    return this.#delete('removeDependency', path`/tasks/${taskId}/dependencies/${dependencyId}`, options);
  }

  // --- executions -----------------------------------------------------------------------------------------------------

  /**
   * Get one page of the executions of a task, the latest first.
   *
   * @param {string} taskId
   * @param {Paging & CallOptions} [options]
   */
  async getExecutions(taskId, { signal, timeoutMs, ...paging } = {}) {
    const target = path`/tasks/${taskId}/executions`;
    return this.#get('getExecutions', target, paging, models.executionList, { signal, timeoutMs });
  }

  /**
   * Go through all executions of a task that are kept, page after page.
   *
   * @param {string} taskId
   * @param {CallOptions & { pageSize?: number | undefined }} [options]
   */
  async *iterateExecutions(taskId, { pageSize = 100, ...options } = {}) {
    yield* all({
      name: 'iterateExecutions',
      pageSize,
      page: (paging) => this.getExecutions(taskId, { ...options, ...paging }),
      id: (execution) => execution.executionId,
    });
  }

  /**
   * @param {string} executionId
   * @param {CallOptions} [options]
   */
  async getExecution(executionId, options = {}) {
    return this.#get('getExecution', path`/executions/${executionId}`, {}, models.executionDetails, options);
  }

  /**
   * Return an execution once it has ended, in whatever way. An API that cannot be reached or is busy (429, 502, 503, 504) is
   * asked again until the time is over; where the last look failed so, its error is the cause of the WaitTimeoutError.
   *
   * @param {string} executionId
   * @param {{ timeoutMs?: number | undefined, signal?: AbortSignal | undefined }} [options] `timeoutMs` is for the whole
   *   wait here: 300,000 unless given
   * @returns {Promise<ExecutionDetails>}
   * @throws {WaitTimeoutError}
   */
  async waitForExecution(executionId, { timeoutMs = 300_000, signal } = {}) {
    return untilEnded((inner) => this.getExecution(executionId, { signal: inner }), timeoutMs, signal);
  }

  /**
   * @param {string} executionId
   * @param {CallOptions} [options]
   */
  async getExecutionLogs(executionId, options = {}) {
    return this.#get('getExecutionLogs', path`/executions/${executionId}/logs`, {}, models.executionLog, options);
  }

  /**
   * Add lines to the log of an execution, and get the whole of it.
   *
   * @param {string} executionId
   * @param {readonly import('./types.js').GivenLine[]} lines
   * @param {PostOptions} [options]
   */
  async appendExecutionLogs(executionId, lines, options = {}) {
    const target = path`/executions/${executionId}/logs`;
    return this.#post('appendExecutionLogs', target, { logs: lines.map(body) }, models.executionLog, options);
  }

  /**
   * Cancel an execution. Its status is `running` in the answer where its worker has not cut the call yet.
   *
   * @param {string} executionId
   * @param {PostOptions} [options]
   */
  async cancelExecution(executionId, options = {}) {
    return this.#post('cancelExecution', path`/executions/${executionId}/cancel`, undefined, models.executionCancelled, options);
  }

  // --- the system -----------------------------------------------------------------------------------------------------

  /** @param {CallOptions} [options] */
  async getStatus(options = {}) {
    return this.#get('getStatus', '/status', {}, models.systemStatus, options);
  }

  /** @param {CallOptions} [options] */
  async listWorkers(options = {}) {
    return this.#get('listWorkers', '/workers', {}, models.workerList, options);
  }

  /**
   * Get a part of the audit log, the latest first; `before` is `next` of the part before it. The key needs the scope admin.
   *
   * @param {{ limit?: number | undefined, before?: string | undefined } & CallOptions} [options]
   */
  async getAuditLog({ signal, timeoutMs, ...part } = {}) {
    return this.#get('getAuditLog', '/audit', part, models.auditAnswer, { signal, timeoutMs });
  }

  /**
   * @template T
   * @param {string} name
   * @param {string} target
   * @param {object} parameters
   * @param {import('./decoding.js').Decoder<T>} answer
   * @param {CallOptions} options
   */
  async #get(name, target, parameters, answer, options) {
    return this.#transport.send({ name, method: 'GET', path: target, query: query(parameters), answer }, options);
  }

  /**
   * @template T
   * @param {string} name
   * @param {string} target
   * @param {object | undefined} given
   * @param {import('./decoding.js').Decoder<T>} answer
   * @param {PostOptions} options
   */
  async #post(name, target, given, answer, options) {
    return this.#transport.send({ name, method: 'POST', path: target, body: given, answer }, options);
  }

  /**
   * @param {string} name
   * @param {string} target
   * @param {CallOptions} options
   * @returns {Promise<void>}
   */
  async #delete(name, target, options) {
    await this.#transport.send({ name, method: 'DELETE', path: target, answer: null }, options);
  }
}
