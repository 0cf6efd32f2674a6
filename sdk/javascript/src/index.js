/**
 * Client of the task scheduler's REST API.
 *
 * @module
 */

export { TaskSchedulerClient } from './client.js';
export * from './errors.js';
export { VERSION } from './version.js';

/** @typedef {import('./client.js').ClientOptions} ClientOptions */
/** @typedef {import('./types.js').TaskStatus} TaskStatus */
/** @typedef {import('./types.js').TaskType} TaskType */
/** @typedef {import('./types.js').TaskSource} TaskSource */
/** @typedef {import('./types.js').Priority} Priority */
/** @typedef {import('./types.js').ExecutionStatus} ExecutionStatus */
/** @typedef {import('./types.js').Outcome} Outcome */
/** @typedef {import('./types.js').DependencyType} DependencyType */
/** @typedef {import('./types.js').LogLevel} LogLevel */
/** @typedef {import('./types.js').SystemCondition} SystemCondition */
/** @typedef {import('./types.js').WorkerCondition} WorkerCondition */
/** @typedef {import('./types.js').Json} Json */
/**
 * @template T
 * @typedef {import('./types.js').Items<T>} Items
 */
/** @typedef {import('./types.js').CallOptions} CallOptions */
/** @typedef {import('./types.js').PostOptions} PostOptions */
/** @typedef {import('./types.js').Paging} Paging */
/** @typedef {import('./types.js').TaskFilter} TaskFilter */
/** @typedef {import('./types.js').WallClockRule} WallClockRule */
/** @typedef {import('./types.js').Interval} Interval */
/** @typedef {import('./types.js').GivenTarget} GivenTarget */
/** @typedef {import('./types.js').TaskSettings} TaskSettings */
/** @typedef {import('./types.js').CronSchedule} CronSchedule */
/** @typedef {import('./types.js').OneTimeSchedule} OneTimeSchedule */
/** @typedef {import('./types.js').IntervalSchedule} IntervalSchedule */
/** @typedef {import('./types.js').CreateTask} CreateTask */
/** @typedef {import('./types.js').UpdateTask} UpdateTask */
/** @typedef {import('./types.js').AddDependency} AddDependency */
/** @typedef {import('./types.js').GivenLine} GivenLine */
/** @typedef {import('./types.js').TaskCreated} TaskCreated */
/** @typedef {import('./types.js').TaskRow} TaskRow */
/** @typedef {import('./types.js').ShownTarget} ShownTarget */
/** @typedef {import('./types.js').TaskDetails} TaskDetails */
/** @typedef {import('./types.js').TaskPage} TaskPage */
/** @typedef {import('./types.js').TaskUpdated} TaskUpdated */
/** @typedef {import('./types.js').TaskPaused} TaskPaused */
/** @typedef {import('./types.js').TaskResumed} TaskResumed */
/** @typedef {import('./types.js').TaskTriggered} TaskTriggered */
/** @typedef {import('./types.js').WrongField} WrongField */
/** @typedef {import('./types.js').BulkProblem} BulkProblem */
/** @typedef {import('./types.js').BulkCreated} BulkCreated */
/** @typedef {import('./types.js').BulkDeleted} BulkDeleted */
/** @typedef {import('./types.js').DependencyAdded} DependencyAdded */
/** @typedef {import('./types.js').ListedDependency} ListedDependency */
/** @typedef {import('./types.js').DependencyList} DependencyList */
/** @typedef {import('./types.js').LastDays} LastDays */
/** @typedef {import('./types.js').TaskStatistics} TaskStatistics */
/** @typedef {import('./types.js').ExecutionRow} ExecutionRow */
/** @typedef {import('./types.js').ErrorView} ErrorView */
/** @typedef {import('./types.js').AttemptView} AttemptView */
/** @typedef {import('./types.js').ExecutionDetails} ExecutionDetails */
/** @typedef {import('./types.js').ExecutionList} ExecutionList */
/** @typedef {import('./types.js').LogLineView} LogLineView */
/** @typedef {import('./types.js').ExecutionLog} ExecutionLog */
/** @typedef {import('./types.js').ExecutionCancelled} ExecutionCancelled */
/** @typedef {import('./types.js').SchedulerStatus} SchedulerStatus */
/** @typedef {import('./types.js').WorkersStatus} WorkersStatus */
/** @typedef {import('./types.js').QueueStatus} QueueStatus */
/** @typedef {import('./types.js').SystemStatus} SystemStatus */
/** @typedef {import('./types.js').WorkerView} WorkerView */
/** @typedef {import('./types.js').WorkerList} WorkerList */
/** @typedef {import('./types.js').ChangeAnswer} ChangeAnswer */
/** @typedef {import('./types.js').AuditAnswer} AuditAnswer */
/** @typedef {import('./types.js').Verdict} Verdict */
/** @typedef {import('./types.js').Rule} Rule */
/** @typedef {import('./types.js').OccurrenceState} OccurrenceState */
/** @typedef {import('./types.js').Place} Place */
/** @typedef {import('./types.js').WaitReason} WaitReason */
/** @typedef {import('./types.js').TaskExplanation} TaskExplanation */
/** @typedef {import('./types.js').ExplainedReason} ExplainedReason */
/** @typedef {import('./types.js').ExplainedTask} ExplainedTask */
/** @typedef {import('./types.js').ExplainedPreference} ExplainedPreference */
/** @typedef {import('./types.js').ExplainedOccurrence} ExplainedOccurrence */
/** @typedef {import('./types.js').ExplainedSlot} ExplainedSlot */
/** @typedef {import('./types.js').ExplainedJob} ExplainedJob */
/** @typedef {import('./types.js').ExplainedWait} ExplainedWait */
/** @typedef {import('./types.js').ExplainedLimit} ExplainedLimit */
/** @typedef {import('./types.js').ExplainedNext} ExplainedNext */
/** @typedef {import('./types.js').ExplainedDependency} ExplainedDependency */
