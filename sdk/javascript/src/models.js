/** The decoder of each answer. tsc holds it against its type, a test against the API's own document. */

import { boolean, instant, integer, json, list, model, nullable, number, optional, page, string, word } from './decoding.js';

/**
 * @template T
 * @typedef {import('./decoding.js').Decoder<T>} Decoder
 */
/** @typedef {import('./types.js').TaskCreated} TaskCreated */
/** @typedef {import('./types.js').TaskDetails} TaskDetails */
/** @typedef {import('./types.js').TaskPage} TaskPage */

/** @type {Decoder<import('./types.js').TaskStatus>} */
const taskStatus = word();

/** @type {Decoder<import('./types.js').TaskType>} */
const taskType = word();

/** @type {Decoder<import('./types.js').Priority>} */
const priority = word();

/** @type {Decoder<import('./types.js').TaskSource>} */
export const source = word();

/** @type {Decoder<import('./types.js').ExecutionStatus>} */
export const executionStatus = word();

/** @type {Decoder<import('./types.js').Outcome>} */
const outcome = word();

/** @type {Decoder<import('./types.js').DependencyType>} */
export const dependencyType = word();

const etag = nullable(string);

const row = {
  task_id: string,
  task_name: string,
  status: taskStatus,
  next_execution_time: nullable(instant),
  last_execution_time: nullable(instant),
  task_type: taskType,
  schedule_expression: nullable(string),
  timezone: string,
  enabled: boolean,
  priority,
  tags: json,
  source,
  created_at: instant,
  updated_at: instant,
};

/** @type {Decoder<TaskCreated>} */
export const taskCreated = model('TaskCreated', {
  task_id: string,
  task_name: string,
  status: taskStatus,
  next_execution_time: nullable(instant),
  created_at: instant,
  etag,
});

/** @type {Decoder<TaskDetails>} */
export const taskDetails = model('TaskDetails', {
  ...row,
  payload: json,
  timeout_seconds: integer,
  max_retries: integer,
  retry_count: integer,
  interval: nullable(json),
  config: json,
  etag,
});

/** @type {Decoder<TaskPage>} */
export const taskPage = page('TaskPage', 'tasks', {
  tasks: list(model('TaskRow', row)),
  total: integer,
  limit: integer,
  offset: integer,
  total_is_exact: optional(boolean, true),
});

/** @type {Decoder<import('./types.js').TaskUpdated>} */
export const taskUpdated = model('TaskUpdated', {
  task_id: string,
  updated_fields: list(string),
  next_execution_time: nullable(instant),
  updated_at: instant,
  etag,
});

/** @type {Decoder<import('./types.js').TaskPaused>} */
export const taskPaused = model('TaskPaused', { task_id: string, status: taskStatus, paused_at: nullable(instant) });

/** @type {Decoder<import('./types.js').TaskResumed>} */
export const taskResumed = model('TaskResumed', {
  task_id: string,
  status: taskStatus,
  next_execution_time: nullable(instant),
  resumed_at: instant,
});

/** @type {Decoder<import('./types.js').TaskTriggered>} */
export const taskTriggered = model('TaskTriggered', {
  task_id: string,
  execution_id: string,
  status: word(),
  queued_at: instant,
  execution_ids: optional(list(string), null),
});

const bulkProblems = list(
  model('BulkProblem', {
    index: integer,
    task_id: optional(nullable(string), null),
    code: string,
    detail: string,
    errors: optional(list(model('WrongField', { pointer: string, detail: string })), null),
  }),
);

/** @type {Decoder<import('./types.js').BulkCreated>} */
export const bulkCreated = model('BulkCreated', {
  created: integer,
  failed: integer,
  task_ids: list(string),
  errors: optional(bulkProblems, null),
});

/** @type {Decoder<import('./types.js').BulkDeleted>} */
export const bulkDeleted = model('BulkDeleted', {
  deleted: integer,
  failed: integer,
  errors: optional(bulkProblems, null),
});

/** @type {Decoder<import('./types.js').DependencyAdded>} */
export const dependencyAdded = model('DependencyAdded', {
  dependency_id: string,
  task_id: string,
  depends_on_task_id: string,
  dependency_type: dependencyType,
});

/** @type {Decoder<import('./types.js').DependencyList>} */
export const dependencyList = page('DependencyList', 'dependencies', {
  dependencies: list(
    model('ListedDependency', {
      dependency_id: string,
      depends_on_task_id: string,
      depends_on_task_name: string,
      dependency_type: dependencyType,
    }),
  ),
});

/** @type {Decoder<import('./types.js').TaskStatistics>} */
export const taskStatistics = model('TaskStatistics', {
  task_id: string,
  total_executions: integer,
  successful_executions: integer,
  failed_executions: integer,
  success_rate: nullable(number),
  average_duration_ms: nullable(integer),
  p50_duration_ms: nullable(integer),
  p95_duration_ms: nullable(integer),
  p99_duration_ms: nullable(integer),
  last_7_days: model('LastDays', { executions: integer, success_rate: nullable(number) }),
});

const run = {
  execution_id: string,
  task_id: nullable(string),
  worker_id: nullable(string),
  started_at: nullable(instant),
  completed_at: nullable(instant),
  duration_ms: nullable(integer),
  status: executionStatus,
  retry_number: integer,
  queued_at: nullable(instant),
};

export const attempt = model('AttemptView', {
  attempt: integer,
  worker_id: string,
  started_at: instant,
  completed_at: instant,
  duration_ms: integer,
  outcome,
  http_status: nullable(integer),
  error_code: nullable(string),
  error_message: nullable(string),
  next_attempt_at: nullable(instant),
});

/** @type {Decoder<import('./types.js').ExecutionDetails>} */
export const executionDetails = model('ExecutionDetails', {
  ...run,
  result: json,
  is_retry: boolean,
  error: nullable(model('ErrorView', { code: string, message: string, retry: boolean })),
  reason: nullable(string),
  next_attempt_at: nullable(instant),
  attempts: list(attempt),
});

/** @type {Decoder<import('./types.js').ExecutionList>} */
export const executionList = page('ExecutionList', 'executions', {
  executions: list(model('ExecutionRow', run)),
  total: integer,
  limit: integer,
  offset: integer,
});

/** @type {Decoder<import('./types.js').ExecutionLog>} */
export const executionLog = page('ExecutionLog', 'logs', {
  execution_id: string,
  logs: list(model('LogLineView', { timestamp: instant, level: word(), message: string })),
});

/** @type {Decoder<import('./types.js').ExecutionCancelled>} */
export const executionCancelled = model('ExecutionCancelled', {
  execution_id: string,
  status: executionStatus,
  cancelled_at: nullable(instant),
});

/** @type {Decoder<import('./types.js').SystemStatus>} */
export const systemStatus = model('SystemStatus', {
  status: word(),
  scheduler: model('SchedulerStatus', {
    leader: nullable(string),
    followers: list(string),
    tasks_scheduled: integer,
    tasks_pending: nullable(integer),
  }),
  workers: model('WorkersStatus', {
    total: integer,
    active: integer,
    inactive: integer,
    total_capacity: integer,
    current_load: integer,
  }),
  queue: model('QueueStatus', {
    high_priority: nullable(integer),
    medium_priority: nullable(integer),
    low_priority: nullable(integer),
  }),
  reasons: list(string),
});

/** @type {Decoder<import('./types.js').WorkerList>} */
export const workerList = page('WorkerList', 'workers', {
  workers: list(
    model('WorkerView', {
      worker_id: string,
      status: word(),
      capacity: integer,
      current_load: integer,
      last_heartbeat: instant,
      uptime_seconds: integer,
    }),
  ),
  total: integer,
});

/** @type {Decoder<import('./types.js').AuditAnswer>} */
export const auditAnswer = page('AuditAnswer', 'entries', {
  entries: list(
    model('ChangeAnswer', {
      at: instant,
      method: string,
      route: string,
      ids: json,
      token_id: string,
      status: integer,
      request_id: string,
    }),
  ),
  next: nullable(string),
});
