/** Answers of the API that tests begin with. */

export const TASK = {
  task_id: '550e8400-e29b-41d4-a716-446655440000',
  task_name: 'daily_report',
  task_type: 'cron',
  schedule_expression: '0 0 * * *',
  timezone: 'America/New_York',
  next_execution_time: '2024-01-09T05:00:00Z',
  last_execution_time: null,
  status: 'scheduled',
  enabled: true,
  payload: { report_type: 'daily', camelCase: { snake_case: [1, null] } },
  timeout_seconds: 300,
  max_retries: 3,
  retry_count: 0,
  priority: 'high',
  created_at: '2024-01-08T10:00:00.190999Z',
  updated_at: '2024-01-08T12:00:00+02:00',
  interval: { type: 'daily', at_time: '23:00' },
  tags: { team_name: 'analytics' },
  config: { endpoint: 'https://example.com/x', method: 'POST', headers: { 'X-My_Header': '***' }, max_duration: null },
  source: 'api',
};

export const CREATED = {
  task_id: TASK.task_id,
  task_name: TASK.task_name,
  status: 'scheduled',
  next_execution_time: null,
  created_at: TASK.created_at,
};

export const ROW = Object.fromEntries(
  Object.entries(TASK).filter(
    ([name]) => !['payload', 'timeout_seconds', 'max_retries', 'retry_count', 'interval', 'config'].includes(name),
  ),
);

export const EXECUTION = {
  execution_id: 'e1',
  task_id: TASK.task_id,
  worker_id: null,
  started_at: null,
  completed_at: null,
  duration_ms: null,
  status: 'pending',
  result: { snake_case: { keyOf: 1 } },
  retry_number: 0,
  is_retry: false,
  queued_at: '2024-01-08T10:00:00Z',
  error: null,
  reason: null,
  next_attempt_at: null,
  attempts: [],
};

/**
 * A page of tasks.
 *
 * @param {string[]} ids
 * @param {number} total
 */
export function taskPage(ids, total) {
  return { tasks: ids.map((task_id) => ({ ...ROW, task_id })), total, limit: 2, offset: 0 };
}
