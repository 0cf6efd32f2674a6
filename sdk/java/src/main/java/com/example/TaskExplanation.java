package com.example;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Why a task did or did not run. */
public final class TaskExplanation extends Model {
    private final String taskId;
    private final String userId;
    private final Instant explainedAt;
    private final Verdict verdict;
    private final List<ExplainedReason> reasons;
    private final ExplainedTask task;
    private final ExplainedPreference preference;
    private final ExplainedOccurrence occurrence;
    private final ExplainedJob job;
    private final ExplainedNext next;
    private final List<ExplainedDependency> dependencies;

    TaskExplanation(Members members) {
        taskId = members.text("task_id");
        userId = members.textOrNull("user_id");
        explainedAt = members.instant("explained_at");
        verdict = Verdict.of(members.text("verdict"));
        reasons = members.list("reasons", ExplainedReason::new);
        task = members.object("task", ExplainedTask::new);
        preference = members.objectOrNull("preference", ExplainedPreference::new);
        occurrence = members.objectOrNull("occurrence", ExplainedOccurrence::new);
        job = members.objectOrNull("job", ExplainedJob::new);
        next = members.object("next", ExplainedNext::new);
        dependencies = members.list("dependencies", ExplainedDependency::new);
    }

    /** Its task's id. */
    public String getTaskId() {
        return taskId;
    }

    /** Whose job. */
    public Optional<String> getUserId() {
        return Optional.ofNullable(userId);
    }

    /** When it was worked out. */
    public Instant getExplainedAt() {
        return explainedAt;
    }

    /** The code of the first reason. */
    public Verdict getVerdict() {
        return verdict;
    }

    /** The first one decides; the others would, or add to it. */
    public List<ExplainedReason> getReasons() {
        return reasons;
    }

    /** What is in force for the task now. */
    public ExplainedTask getTask() {
        return task;
    }

    /** absent for a task made through the API. */
    public Optional<ExplainedPreference> getPreference() {
        return Optional.ofNullable(preference);
    }

    /** absent where none has come due. */
    public Optional<ExplainedOccurrence> getOccurrence() {
        return Optional.ofNullable(occurrence);
    }

    /** absent without an occurrence in which the user has a job. */
    public Optional<ExplainedJob> getJob() {
        return Optional.ofNullable(job);
    }

    /** The first occurrence after that. */
    public ExplainedNext getNext() {
        return next;
    }

    /** Those of the task. */
    public List<ExplainedDependency> getDependencies() {
        return dependencies;
    }
}
