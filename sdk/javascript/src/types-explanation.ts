/** What the API answers to why a task did or did not run, in camelCase. */

import type { AttemptView, DependencyType, ExecutionStatus, Interval, TaskSource } from './types.js';

/** The stable words for what became of a user's share of an occurrence, and for why nothing did. */
export type Verdict =
  | 'succeeded'
  | 'failed'
  | 'expired'
  | 'cancelled'
  | 'skipped_preference_off'
  | 'skipped_task_disabled'
  | 'skipped_task_removed'
  | 'running'
  | 'cancelling'
  | 'worker_lost'
  | 'retrying'
  | 'host_closed'
  | 'waits_for_limit'
  | 'waits_for_time'
  | 'planned'
  | 'held_back'
  | 'in_queue'
  | 'planning'
  | 'not_in_audience'
  | 'no_trace'
  | 'not_due_yet'
  | 'not_planned_yet'
  | 'waits_for_previous'
  | 'overlap_skipped'
  | 'missed'
  | 'too_old'
  | 'rule_changed'
  | 'not_planned'
  | 'forgotten'
  | 'task_removed'
  | 'task_disabled'
  | 'task_paused'
  | 'before_start'
  | 'after_end'
  | 'never_due'
  | 'user_unknown'
  | 'user_off'
  | 'user_not_on'
  | 'dependency_open'
  | 'never_ran'
  | 'task_over';

/** What decides whether a user gets a task. */
export type Rule = 'own_switch' | 'default_enabled' | 'no_preferences';

/** How far an occurrence has got. */
export type OccurrenceState = 'upcoming' | 'unplanned' | 'held' | 'skipped' | 'planning' | 'open' | 'released';

/** Where a job is. */
export type Place = 'nowhere' | 'slot' | 'queue' | 'delayed' | 'waiting_list' | 'worker' | 'ended';

/** Why a job was put aside. */
export type WaitReason = 'retry' | 'limit' | 'host' | 'early' | 'claimed';

/** Why a task did or did not run. */
export interface TaskExplanation {
  readonly taskId: string;
  readonly userId: string | null;
  readonly explainedAt: Date;
  /** The code of the first reason. */
  readonly verdict: Verdict;
  /** The first one decides; the others would, or add to it. */
  readonly reasons: readonly ExplainedReason[];
  readonly task: ExplainedTask;
  /** null for a task made through the API. */
  readonly preference: ExplainedPreference | null;
  /** null where none has come due. */
  readonly occurrence: ExplainedOccurrence | null;
  /** null without an occurrence in which the user has a job. */
  readonly job: ExplainedJob | null;
  readonly next: ExplainedNext;
  readonly dependencies: readonly ExplainedDependency[];
}

/** One reason. */
export interface ExplainedReason {
  /** A stable word: docs/explain.md lists them. */
  readonly code: Verdict;
  readonly message: string;
  /** What to do about it; null where all is as it should be. */
  readonly remedy: string | null;
}

/** What is in force for the task now. */
export interface ExplainedTask {
  readonly source: TaskSource;
  /** Whether it is let run; false as well where it is paused or removed. */
  readonly enabled: boolean;
  /** Switched off through the API. */
  readonly paused: boolean;
  /** Gone from tasks.yaml. */
  readonly removed: boolean;
  /** Of the definitions of tasks.yaml that are in force, or of the task made through the API. */
  readonly revision: string | null;
  /** The interval as it would stand in tasks.yaml. */
  readonly interval: Interval;
  readonly startAt: Date | null;
  readonly endAt: Date | null;
  readonly overlap: string;
  readonly catchUp: string;
  /** A job that is older is not called any more. */
  readonly maxAgeSeconds: number;
}

/** What the user's preferences come to for the task, as they stand now. */
export interface ExplainedPreference {
  /** Whether the user gets the task. */
  readonly enabled: boolean;
  /** What decides it: the user's own switch, the task's default_enabled, or that nothing is known of the user. */
  readonly rule: Rule;
  /** The user's own switch; null without one. */
  readonly switch: boolean | null;
  /** The user's own interval; null where the task's counts. */
  readonly interval: Interval | null;
  /** What is wrong with a custom_interval that does not count. */
  readonly problem: string | null;
}

/** The occurrence in question. */
export interface ExplainedOccurrence {
  /**
   * Its instant, by the interval that counts for the user; of a task made through the API, when its run was queued or was due.
   */
  readonly scheduledAt: Date;
  /** null where it was not planned, and for a task made through the API. */
  readonly occurrenceId: string | null;
  readonly state: OccurrenceState;
  /** When its window begins: its instant, or later where it was planned late. */
  readonly startsAt: Date | null;
  readonly windowMs: number | null;
  /** How many were to be called when it was planned. */
  readonly users: number | null;
  /** How many of their jobs have gone to RabbitMQ so far. */
  readonly released: number | null;
  readonly slot: ExplainedSlot | null;
}

/** When in the window it is the user's turn. */
export interface ExplainedSlot {
  /** Counted from 0, in slots of ten seconds. */
  readonly number: number;
  /** When the job is due. */
  readonly plannedAt: Date;
  /** false: worked out from the user's place among so many users; nothing tells it exactly any more, or yet. */
  readonly exact: boolean;
  /** It is within so much of planned_at, in 99 of 100 cases; 0 where it is exact. */
  readonly marginMs: number;
}

/** The user's job in the occurrence. */
export interface ExplainedJob {
  /** Also the id of its execution. */
  readonly jobId: string;
  /** null where nothing is known of it yet, or any more. */
  readonly status: ExecutionStatus | null;
  /** Where it is now. */
  readonly place: Place;
  /** The name of the limit in whose list it is. */
  readonly waitsFor: string | null;
  /** The worker that has it, or had it last. */
  readonly workerId: string | null;
  /** The attempt that runs, is to come, or was the last one. */
  readonly attempt: number | null;
  /** When it is to be tried, where that is known. */
  readonly nextAttemptAt: Date | null;
  /** Start of its first attempt. */
  readonly startedAt: Date | null;
  readonly completedAt: Date | null;
  /** How much later than planned its first attempt began; null before that, and where `slot` is not exact. */
  readonly lateMs: number | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** Somebody has cancelled it. */
  readonly cancelled: boolean;
  /** When it was put aside, the latest fifty times. A second that a worker slept with it in hand is not among them. */
  readonly waits: readonly ExplainedWait[];
  /** Those that ended, the latest fifty. */
  readonly attempts: readonly AttemptView[];
  /** What it still has to pass; none once it has ended. */
  readonly limits: readonly ExplainedLimit[];
}

/** A time in which the job was put aside. */
export interface ExplainedWait {
  readonly reason: WaitReason;
  /** The name of the limit that it waited for. */
  readonly limit: string | null;
  /** The attempt that was to come, counted from 1. */
  readonly attempt: number;
  readonly since: Date;
  /** When that attempt began, or the job was put aside anew or ended; null while it waits. */
  readonly until: Date | null;
  /** So far, while it waits. */
  readonly durationMs: number;
}

/** A limit that the job has to pass. */
export interface ExplainedLimit {
  /** global, task:ID, concurrency:ID, host:HOST or queue:PRIORITY. */
  readonly name: string;
  /** What it allows, in words; null where nothing is set. */
  readonly inForce: string | null;
  /** Jobs that wait in its list now. */
  readonly waiting: number;
}

/** The first occurrence after that. */
export interface ExplainedNext {
  /** null where there is none any more. */
  readonly scheduledAt: Date | null;
  readonly verdict: Verdict;
  readonly reasons: readonly ExplainedReason[];
  readonly slot: ExplainedSlot | null;
}

/** A task that this one waits for when it is due. */
export interface ExplainedDependency {
  readonly taskId: string;
  readonly taskName: string;
  readonly dependencyType: DependencyType;
  /** Whether it has ended as it should since the last run. */
  readonly satisfied: boolean;
  /** When it last ended that way. */
  readonly endedAt: Date | null;
}
