/**
 * What the API takes and answers, in camelCase. The names of the types are those of the API's own document.
 *
 * Words such as a status are listed as far as this version knows them. At run time a word of a newer server arrives as it
 * was sent, so that a `switch` does well to have a `default`.
 */

export type TaskStatus = 'scheduled' | 'paused' | 'waiting' | 'completed' | 'failed';
export type TaskType = 'cron' | 'one_time' | 'interval';
export type TaskSource = 'file' | 'api';
export type Priority = 'high' | 'medium' | 'low';
export type ExecutionStatus = 'pending' | 'running' | 'success' | 'failed' | 'retrying' | 'cancelled' | 'skipped';
export type Outcome = 'success' | 'retryable' | 'permanent' | 'cancelled';
export type DependencyType = 'success' | 'completion' | 'any';
export type LogLevel = 'INFO' | 'WARNING' | 'ERROR';
export type SystemCondition = 'healthy' | 'degraded' | 'unhealthy';
export type WorkerCondition = 'active' | 'inactive';

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Several items of an answer, which can be gone through at once. */
export interface Items<T> extends Iterable<T> {
  /** How many items there are here; of a page, not in all. */
  readonly length: number;
  forEach(visit: (item: T, index: number) => void): void;
  map<R>(make: (item: T, index: number) => R): R[];
}

// --- what is sent -----------------------------------------------------------------------------------------------------

/** What every call takes. */
export interface CallOptions {
  /** Ends the call when it is aborted: the promise is rejected with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for the call, with all its tries and the pauses between them; instead of the client's. */
  timeoutMs?: number | undefined;
}

/** What every call takes that makes or changes something by POST. */
export interface PostOptions extends CallOptions {
  /** 1 to 255 visible ASCII characters. Made anew for each call where it is left out, and kept while that is sent again. */
  idempotencyKey?: string | undefined;
}

/** Which part of a list. */
export interface Paging {
  /** Items at most: 1 to 100, and 20 where it is left out. */
  limit?: number | undefined;
  /** Items to leave out before them. */
  offset?: number | undefined;
}

/** Which tasks. All that is given must hold. */
export interface TaskFilter {
  status?: TaskStatus | undefined;
  priority?: Priority | undefined;
  taskType?: TaskType | undefined;
  /** `key:value`; of several, all. */
  tag?: string | readonly string[] | undefined;
  /** The whole name, or its beginning with a `*` behind it. */
  name?: string | undefined;
}

/** What becomes of a wall time that the clock skips, and of one that comes twice. */
export interface WallClockRule {
  readonly gap?: 'run_after' | 'skip' | undefined;
  readonly fold?: 'first' | 'second' | 'both' | undefined;
}

/** An interval, in the words of tasks.yaml: its keys are not converted. */
export interface Interval {
  readonly type: 'hourly' | 'daily' | 'weekly' | 'monthly';
  readonly value?: number | undefined;
  readonly timezone?: string | undefined;
  /** HH:MM or HH:MM:SS. */
  readonly at_time?: string | undefined;
  readonly weekday?: 'monday' | 'tuesday' | 'wednesday' | 'thursday' | 'friday' | 'saturday' | 'sunday' | undefined;
  readonly day?: number | 'last' | undefined;
  readonly dst?: WallClockRule | undefined;
}

/** What a task calls, in the words of tasks.yaml: its keys are not converted. */
export interface GivenTarget {
  endpoint: string;
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | undefined;
  headers?: Readonly<Record<string, string>> | undefined;
  /** A duration such as `30s`. */
  max_duration?: string | undefined;
}

/** What a task may have, whatever says when it runs. */
export interface TaskSettings {
  /** IANA zone; UTC where it is left out. */
  timezone?: string | undefined;
  /** Any JSON value; its keys are yours and never converted. */
  /** Plain JSON: NaN, an infinity, a Map, a Set, a function and a bigint are refused. */
  payload?: unknown;
  /** 1 to 900 seconds; 300 where it is left out. */
  timeoutSeconds?: number | undefined;
  /** 0 to 100; 3 where it is left out. */
  maxRetries?: number | undefined;
  /** `medium` where it is left out. */
  priority?: Priority | undefined;
  tags?: Readonly<Record<string, string>> | undefined;
  enabled?: boolean | undefined;
  config?: GivenTarget | undefined;
  /** The task type of tasks.yaml whose target it calls. */
  taskTypeId?: string | undefined;
}

/** A schedule on the wall clock: five fields, or `@hourly` to `@yearly`. */
export interface CronSchedule {
  taskType: 'cron';
  scheduleExpression: string;
}

/** One instant: a Date, or a text of RFC 3339. */
export interface OneTimeSchedule {
  taskType: 'one_time';
  nextExecutionTime: Date | string;
}

/** Every so many hours, days, weeks or months. */
export interface IntervalSchedule {
  taskType: 'interval';
  interval: Interval;
}

/** A task to be made. */
export type CreateTask = TaskSettings & { taskName: string } & (CronSchedule | OneTimeSchedule | IntervalSchedule);

/** What is to change of a task; what is left out stays. */
export interface UpdateTask extends TaskSettings {
  taskName?: string | undefined;
  taskType?: TaskType | undefined;
  scheduleExpression?: string | undefined;
  nextExecutionTime?: Date | string | undefined;
  interval?: Interval | undefined;
}

/** A dependency to be added. */
export interface AddDependency {
  dependsOnTaskId: string;
  /** `success` where it is left out. */
  dependencyType?: DependencyType | undefined;
}

/** A line to be added to a log. */
export interface GivenLine {
  message: string;
  /** Now where it is left out. */
  timestamp?: Date | string | undefined;
  /** `INFO` where it is left out. */
  level?: LogLevel | undefined;
}

// --- tasks ------------------------------------------------------------------------------------------------------------

export interface TaskCreated {
  readonly taskId: string;
  readonly taskName: string;
  readonly status: TaskStatus;
  /** When it runs next; null for a task that begins paused, unless it is a one_time task. */
  readonly nextExecutionTime: Date | null;
  readonly createdAt: Date;
  /** Its version, for `ifMatch`. */
  readonly etag: string | null;
}

/** A task in a list. */
export interface TaskRow {
  readonly taskId: string;
  readonly taskName: string;
  readonly status: TaskStatus;
  /** When it runs next; null where it does not: paused, or over. */
  readonly nextExecutionTime: Date | null;
  /** When its latest execution was queued. */
  readonly lastExecutionTime: Date | null;
  readonly taskType: TaskType;
  readonly scheduleExpression: string | null;
  readonly timezone: string;
  readonly enabled: boolean;
  readonly priority: Priority;
  readonly tags: Readonly<Record<string, string>>;
  /** `file` for a task type of tasks.yaml, which is changed there. */
  readonly source: TaskSource;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What a task calls. Values of headers that a request spelled out are shown as `***`. */
export interface ShownTarget {
  readonly endpoint: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly max_duration: string | null;
}

export interface TaskDetails extends TaskRow {
  readonly payload: Json;
  readonly timeoutSeconds: number;
  readonly maxRetries: number;
  /** Retries of its latest execution. */
  readonly retryCount: number;
  readonly interval: Interval | null;
  readonly config: ShownTarget;
  /** Its version, for `ifMatch`. */
  readonly etag: string | null;
}

export interface TaskPage extends Items<TaskRow> {
  readonly tasks: readonly TaskRow[];
  /** How many there are in all. */
  readonly total: number;
  readonly limit: number;
  readonly offset: number;
  /** False for a rare combination of filters, of which only the latest 10,000 candidates were looked at. */
  readonly totalIsExact: boolean;
}

export interface TaskUpdated {
  readonly taskId: string;
  /** What has changed, under the API's names (`schedule_expression`), in the order of the request. */
  readonly updatedFields: readonly string[];
  readonly nextExecutionTime: Date | null;
  readonly updatedAt: Date;
  /** Its version, for `ifMatch`. */
  readonly etag: string | null;
}

export interface TaskPaused {
  readonly taskId: string;
  readonly status: TaskStatus;
  readonly pausedAt: Date | null;
}

export interface TaskResumed {
  readonly taskId: string;
  readonly status: TaskStatus;
  readonly nextExecutionTime: Date | null;
  readonly resumedAt: Date;
}

export interface TaskTriggered {
  readonly taskId: string;
  /** Of a task type of tasks.yaml: that of the first user. */
  readonly executionId: string;
  /** Its execution is `pending` until a worker starts it. */
  readonly status: 'queued';
  readonly queuedAt: Date;
  /** Of a task type of tasks.yaml: those of all users, in the order of the request. */
  readonly executionIds: readonly string[] | null;
}

export interface WrongField {
  /** Where it is in the whole body: a JSON pointer in the API's names, as in /tasks/3/task_name. */
  readonly pointer: string;
  readonly detail: string;
}

export interface BulkProblem {
  /** Its position in the request, from 0. */
  readonly index: number;
  readonly taskId: string | null;
  /** What is wrong, as a stable word for programs. */
  readonly code: string;
  readonly detail: string;
  readonly errors: readonly WrongField[] | null;
}

export interface BulkCreated {
  readonly created: number;
  readonly failed: number;
  /** Those that were made, in the order of the request. */
  readonly taskIds: readonly string[];
  /** Those that were refused; null where none was. */
  readonly errors: readonly BulkProblem[] | null;
}

export interface BulkDeleted {
  readonly deleted: number;
  readonly failed: number;
  /** Those that failed; null where none did. */
  readonly errors: readonly BulkProblem[] | null;
}

export interface DependencyAdded {
  readonly dependencyId: string;
  readonly taskId: string;
  readonly dependsOnTaskId: string;
  readonly dependencyType: DependencyType;
}

export interface ListedDependency {
  readonly dependencyId: string;
  readonly dependsOnTaskId: string;
  readonly dependsOnTaskName: string;
  readonly dependencyType: DependencyType;
}

export interface DependencyList extends Items<ListedDependency> {
  readonly dependencies: readonly ListedDependency[];
}

export interface LastDays {
  readonly executions: number;
  /** 0 to 1; null without any that succeeded or failed. */
  readonly successRate: number | null;
}

export interface TaskStatistics {
  readonly taskId: string;
  /** That ended; cancelled and skipped ones as well. */
  readonly totalExecutions: number;
  readonly successfulExecutions: number;
  readonly failedExecutions: number;
  /** 0 to 1; null without any that succeeded or failed. */
  readonly successRate: number | null;
  /** null without a call, as are the quantiles. */
  readonly averageDurationMs: number | null;
  readonly p50DurationMs: number | null;
  readonly p95DurationMs: number | null;
  readonly p99DurationMs: number | null;
  readonly last7Days: LastDays;
}

// One list of types to whoever uses them.
export type * from './types-executions.js';
export type * from './types-explanation.js';
