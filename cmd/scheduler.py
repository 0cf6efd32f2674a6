"""Run a scheduler: `python cmd/scheduler.py --config config/scheduler.yaml`."""

import sys

from taskqueue.cli.main import main

if __name__ == "__main__":
    main(["scheduler", *sys.argv[1:]])
