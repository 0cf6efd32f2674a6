"""Events, and their two subscribers: log lines and Prometheus metrics."""
