/** A program of a user: it compiles, and what is marked as wrong does not. */

import {
  ApiError,
  ConnectError,
  NotFoundError,
  TaskSchedulerClient,
  ValidationError,
  type CreateTask,
  type ExecutionDetails,
  type ExecutionStatus,
  type TaskDetails,
  type TaskRow,
  type TaskStatus,
} from 'task-scheduler-sdk';

const client: TaskSchedulerClient = new TaskSchedulerClient({ baseUrl: 'https://api.example.com', apiKey: 'k', timeoutMs: 5 });

interface Report {
  reportType: string;
}
const payload: Report = { reportType: 'daily' };
const cron: CreateTask = { taskName: 'n', taskType: 'cron', scheduleExpression: '0 0 * * *', payload, tags: { a: 'b' } };

export async function reads(signal: AbortSignal): Promise<string[]> {
  const created = await client.createTask(cron, { idempotencyKey: 'k', signal });
  const task: TaskDetails = await client.getTask(created.taskId, { signal });
  const status: TaskStatus = task.status;
  const next: Date | null = task.nextExecutionTime;
  const page = await client.getExecutions(task.taskId, { limit: 10, signal });
  const total: number = page.total;
  const statuses: ExecutionStatus[] = page.map((execution) => execution.status);
  const rows: TaskRow[] = [...(await client.listTasks({ status, taskType: 'cron', tag: ['a:b'] }))];
  for await (const row of client.iterateTasks({ priority: 'high' })) {
    rows.push(row);
  }
  const ended: ExecutionDetails = await client.waitForExecution('e', { timeoutMs: 1000 });
  const nothing: void = await client.deleteTask(task.taskId);
  return [status, `${next?.toISOString()} ${total} ${nothing}`, ...statuses, ended.attempts[0]?.outcome ?? ''];
}

export function explains(error: unknown): string {
  if (error instanceof ValidationError) {
    return (error.errors ?? []).map((field) => `${field.pointer ?? field.parameter}: ${field.detail}`).join();
  }
  if (error instanceof NotFoundError || error instanceof ApiError) {
    const status: number = error.status;
    return `${status} ${error.code ?? ''} ${error.retryAfter ?? 0}`;
  }
  return error instanceof ConnectError ? (error.code ?? '') : '';
}

export async function isRefused(): Promise<void> {
  const task = await client.getTask('t');
  // @ts-expect-error members are camelCased
  task.task_id;
  // @ts-expect-error answers do not change
  task.status = 'paused';
  // @ts-expect-error an instant may be missing
  task.nextExecutionTime.toISOString();
  // @ts-expect-error no such status
  task.status === 'asleep';
  // @ts-expect-error a cron task needs its expression
  await client.createTask({ taskName: 'n', taskType: 'cron' });
  // @ts-expect-error no such member
  await client.createTask({ ...cron, colour: 'red' });
  // @ts-expect-error no such priority
  await client.updateTask('t', { priority: 'urgent' });
  // @ts-expect-error an instant is a Date or a text
  await client.updateTask('t', { nextExecutionTime: 5 });
  // @ts-expect-error the key is needed
  new TaskSchedulerClient({ baseUrl: 'https://api.example.com' });
  // @ts-expect-error a page is no list
  (await client.listTasks()).push(task);
}
