"""The `taskqueue` command: one file per command group."""
