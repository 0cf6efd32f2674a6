/** The decoder of an explanation. */

import { boolean, instant, integer, json, list, model, nullable, string, word } from './decoding.js';
import { attempt, dependencyType, executionStatus, source } from './models.js';

/**
 * @template T
 * @typedef {import('./decoding.js').Decoder<T>} Decoder
 */

/** @type {Decoder<import('./types.js').Verdict>} */
const verdict = word();

/** @type {Decoder<import('./types.js').Rule>} */
const rule = word();

/** @type {Decoder<import('./types.js').OccurrenceState>} */
const occurrenceState = word();

/** @type {Decoder<import('./types.js').Place>} */
const place = word();

/** @type {Decoder<import('./types.js').WaitReason>} */
const waitReason = word();

const reason = model('ExplainedReason', {
  code: verdict,
  message: string,
  remedy: nullable(string),
});

const slot = model('ExplainedSlot', {
  number: integer,
  planned_at: instant,
  exact: boolean,
  margin_ms: integer,
});

const task = model('ExplainedTask', {
  source,
  enabled: boolean,
  paused: boolean,
  removed: boolean,
  revision: nullable(string),
  interval: json,
  start_at: nullable(instant),
  end_at: nullable(instant),
  overlap: string,
  catch_up: string,
  max_age_seconds: integer,
});

const preference = model('ExplainedPreference', {
  enabled: boolean,
  rule,
  switch: nullable(boolean),
  interval: nullable(json),
  problem: nullable(string),
});

const occurrence = model('ExplainedOccurrence', {
  scheduled_at: instant,
  occurrence_id: nullable(string),
  state: occurrenceState,
  starts_at: nullable(instant),
  window_ms: nullable(integer),
  users: nullable(integer),
  released: nullable(integer),
  slot: nullable(slot),
});

const wait = model('ExplainedWait', {
  reason: waitReason,
  limit: nullable(string),
  attempt: integer,
  since: instant,
  until: nullable(instant),
  duration_ms: integer,
});

const limit = model('ExplainedLimit', {
  name: string,
  in_force: nullable(string),
  waiting: integer,
});

const job = model('ExplainedJob', {
  job_id: string,
  status: nullable(executionStatus),
  place,
  waits_for: nullable(string),
  worker_id: nullable(string),
  attempt: nullable(integer),
  next_attempt_at: nullable(instant),
  started_at: nullable(instant),
  completed_at: nullable(instant),
  late_ms: nullable(integer),
  error_code: nullable(string),
  error_message: nullable(string),
  cancelled: boolean,
  waits: list(wait),
  attempts: list(attempt),
  limits: list(limit),
});

const next = model('ExplainedNext', {
  scheduled_at: nullable(instant),
  verdict,
  reasons: list(reason),
  slot: nullable(slot),
});

const dependency = model('ExplainedDependency', {
  task_id: string,
  task_name: string,
  dependency_type: dependencyType,
  satisfied: boolean,
  ended_at: nullable(instant),
});

/** @type {Decoder<import('./types.js').TaskExplanation>} */
export const taskExplanation = model('TaskExplanation', {
  task_id: string,
  user_id: nullable(string),
  explained_at: instant,
  verdict,
  reasons: list(reason),
  task,
  preference: nullable(preference),
  occurrence: nullable(occurrence),
  job: nullable(job),
  next,
  dependencies: list(dependency),
});
