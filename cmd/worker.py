"""Run a worker: `python cmd/worker.py --config config/worker.yaml`."""

import sys

from taskqueue.cli.main import main

if __name__ == "__main__":
    main(["worker", *sys.argv[1:]])
