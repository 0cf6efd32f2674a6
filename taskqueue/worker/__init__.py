"""The worker process: take a job, call its endpoint, record and settle it."""
