"""The rules of scheduling and retrying, as pure functions and frozen values: no I/O, no clock, no randomness."""
