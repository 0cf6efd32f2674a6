"""taskqueue: call an HTTP endpoint for every user, on schedule, over RabbitMQ and Redis."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("taskqueue")
except PackageNotFoundError:  # a source tree that nobody installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
