"""Run an API: `python cmd/api.py --config config/api.yaml`."""

import sys

from taskqueue.cli.main import main

if __name__ == "__main__":
    main(["api", *sys.argv[1:]])
