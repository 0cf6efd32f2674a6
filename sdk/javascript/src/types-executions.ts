/** What the API answers about executions and about the system, in camelCase. */

import type { ExecutionStatus, Items, Json, LogLevel, Outcome, SystemCondition, WorkerCondition } from './types.js';

/** An execution in a list. */
export interface ExecutionRow {
  readonly executionId: string;
  /** null in the first attempt of a job that was planned for a user: nothing says yet what it is for. */
  readonly taskId: string | null;
  /** The worker of the latest attempt; null before the first one. */
  readonly workerId: string | null;
  /** Start of the first attempt; null before that. */
  readonly startedAt: Date | null;
  /** When it ended; null before that. */
  readonly completedAt: Date | null;
  /** From startedAt to completedAt, with all waiting between attempts. */
  readonly durationMs: number | null;
  /** Where it stands now. success, failed, cancelled and skipped are ends. */
  readonly status: ExecutionStatus;
  /** Of the latest attempt: 0 for the first try, 1 for the first retry. */
  readonly retryNumber: number;
  /** When it was queued, for a task made through the API. */
  readonly queuedAt: Date | null;
}

export interface ErrorView {
  /** A stable word for programs. */
  readonly code: string;
  readonly message: string;
  /** Whether another attempt follows. */
  readonly retry: boolean;
}

export interface AttemptView {
  /** Counted from 1. */
  readonly attempt: number;
  readonly workerId: string;
  readonly startedAt: Date;
  readonly completedAt: Date;
  readonly durationMs: number;
  readonly outcome: Outcome;
  /** Of the answer; null without one, and for an execution that succeeded at once. */
  readonly httpStatus: number | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** When the attempt after it was due; null for the last. */
  readonly nextAttemptAt: Date | null;
}

export interface ExecutionDetails extends ExecutionRow {
  /** What the endpoint answered: its JSON, else an object with the text as `body`; null where there is none. */
  readonly result: Json;
  readonly isRetry: boolean;
  /** Of the latest attempt that ended; null where that succeeded. */
  readonly error: ErrorView | null;
  /** Why it ended without a call. */
  readonly reason: string | null;
  /** When the next attempt is due, while it is retrying. */
  readonly nextAttemptAt: Date | null;
  /** The attempts that ended, the first one first; the latest fifty. */
  readonly attempts: readonly AttemptView[];
}

export interface ExecutionList extends Items<ExecutionRow> {
  readonly executions: readonly ExecutionRow[];
  /** How many are kept in all. */
  readonly total: number;
  readonly limit: number;
  readonly offset: number;
}

export interface LogLineView {
  readonly timestamp: Date;
  readonly level: LogLevel;
  readonly message: string;
}

export interface ExecutionLog extends Items<LogLineView> {
  readonly executionId: string;
  readonly logs: readonly LogLineView[];
}

export interface ExecutionCancelled {
  readonly executionId: string;
  /** `cancelled`; or `running`, where its worker has not cut the call yet. */
  readonly status: ExecutionStatus;
  /** When it ended; null while its call runs. */
  readonly cancelledAt: Date | null;
}

export interface SchedulerStatus {
  /** Instance id of the scheduler that leads; null while none does. */
  readonly leader: string | null;
  readonly followers: readonly string[];
  /** Tasks that are to run: scheduled, or waiting for another task. */
  readonly tasksScheduled: number;
  /** Jobs that wait: for their time, for room under a limit, or in a ready queue; null without RabbitMQ. */
  readonly tasksPending: number | null;
}

export interface WorkersStatus {
  readonly total: number;
  readonly active: number;
  /** Silent for seven seconds, without a good-bye; forgotten after five minutes. */
  readonly inactive: number;
  /** Jobs that can run at a time on the active ones. */
  readonly totalCapacity: number;
  readonly currentLoad: number;
}

/** Messages that are ready in the queues; null without RabbitMQ. */
export interface QueueStatus {
  readonly highPriority: number | null;
  readonly mediumPriority: number | null;
  readonly lowPriority: number | null;
}

export interface SystemStatus {
  /** unhealthy: no task runs. degraded: something is missing that should be there. */
  readonly status: SystemCondition;
  readonly scheduler: SchedulerStatus;
  readonly workers: WorkersStatus;
  readonly queue: QueueStatus;
  /** What is wrong; none where all is well. */
  readonly reasons: readonly string[];
}

export interface WorkerView {
  readonly workerId: string;
  /** inactive: silent for seven seconds, without a good-bye. */
  readonly status: WorkerCondition;
  /** Jobs that can run at a time. */
  readonly capacity: number;
  readonly currentLoad: number;
  readonly lastHeartbeat: Date;
  readonly uptimeSeconds: number;
}

export interface WorkerList extends Items<WorkerView> {
  readonly workers: readonly WorkerView[];
  readonly total: number;
}

export interface ChangeAnswer {
  readonly at: Date;
  readonly method: string;
  /** The template of its path, as in /api/v1/tasks/{task_id}. */
  readonly route: string;
  /** What stood in the path, by the names in `route`. */
  readonly ids: Readonly<Record<string, string>>;
  /** The id of the token that it came with. */
  readonly tokenId: string;
  readonly status: number;
  readonly requestId: string;
}

/** Part of the audit log: requests that were no GET, the latest first. */
export interface AuditAnswer extends Items<ChangeAnswer> {
  readonly entries: readonly ChangeAnswer[];
  /** For `before`, to get the entries before these; null at the end. */
  readonly next: string | null;
}
