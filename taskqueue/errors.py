"""Every error that taskqueue raises on purpose.

    TaskqueueError
    ├── ConfigError           a file, variable or flag is wrong; text is `place: problem; remedy`
    ├── InvalidValueError     a value breaks a rule of the domain (interval, cron, task id, ...)
    ├── MessageError          an AMQP message that cannot be read; `reason` is its stable code
    ├── BrokerError           RabbitMQ said no, or nothing
    │   ├── BrokerUnavailableError     connection lost or not there yet; try again
    │   │   └── BrokerAccessError      user name or password are wrong, as far as RabbitMQ says
    │   ├── PublishRefusedError        the broker returned or refused the message
    │   └── TopologyError              a queue or exchange exists with other arguments, or rights are missing
    ├── StoreError            Redis said no, or nothing
    │   ├── StoreUnavailableError      connection lost or not there yet; try again
    │   ├── StoreAccessError           user name or password are wrong, or the user lacks a right
    │   ├── DamagedKeyError            a key of ours holds what does not belong there; `key` and `member` say where
    │   ├── UnknownScriptError         Redis was restarted since the script was loaded; load it and ask again
    │   └── LeaseLostError             somebody else leads now; whatever was being written was not
    ├── ServiceError          RabbitMQ or Redis for development could not be found or started
    ├── NotFoundError         what a command or a call of the API names does not exist
    ├── RefusedError          it conflicts with what is there, or wants a word of consent that was not given
    │   └── ConflictError              the API says that what is there does not allow it now
    ├── UnauthorizedError     a token or password is missing, wrong, or has not the right
    └── UnreachableError      an address does not answer, and neither RabbitMQ nor Redis is behind it

Foreign exceptions (aio_pika, redis, httptools, yaml, pydantic) are translated at the adapter that calls them.
"""

from __future__ import annotations


class TaskqueueError(Exception):
    """The root: catch it to catch everything taskqueue raises on purpose."""


class ConfigError(TaskqueueError):
    """A configuration that cannot be used; `problems` holds one line each, with place, problem and remedy.

    `more` problems were counted and not told; `lines` ends with their number.
    """

    def __init__(self, *problems: str, more: int = 0) -> None:
        self.problems = problems
        self.more = more
        self.lines = (*problems, f"and {more:,} more; mend these first") if more else problems
        super().__init__("\n".join(self.lines))


class InvalidValueError(TaskqueueError, ValueError):
    """A value that breaks a rule of the domain. Also a ValueError, so pydantic reports it with its place."""


class MessageError(TaskqueueError):
    """An AMQP message that cannot be read.

    `reason` is a stable code for `taskqueue.jobs.failed`: `malformed`, `oversized` or `unknown_version`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class BrokerError(TaskqueueError):
    """RabbitMQ refused something or did not answer."""


class BrokerUnavailableError(BrokerError):
    """No usable connection. Whether an unconfirmed message arrived is unknown: publish it again, with the same id."""


class BrokerAccessError(BrokerUnavailableError):
    """RabbitMQ refused user name or password; that may be mended there, so whoever keeps a connection tries again."""


class PublishRefusedError(BrokerError):
    """RabbitMQ returned the message as unroutable or refused it (nack): it is not in any queue."""


class TopologyError(BrokerError):
    """A queue or exchange exists with other arguments, is missing, or may not be touched by this user."""


class StoreError(TaskqueueError):
    """Redis refused something or did not answer."""


class StoreUnavailableError(StoreError):
    """No usable connection. Whether the last command ran is unknown."""


class StoreAccessError(StoreError):
    """Redis refused user name or password, or its user lacks the right to a command or key."""


class DamagedKeyError(StoreError):
    """A key holds another type, or a value that is none of ours; nothing was written.

    `member` is the entry of a sorted set that cannot be read, None when it is the whole key. `unreadable`: the type is
    right, but what it holds is not what we write. `remedy` is what to do about it where that is not to remove it.
    """

    def __init__(
        self,
        key: str,
        problem: str,
        *,
        member: bytes | None = None,
        unreadable: bool = False,
        remedy: str | None = None,
    ) -> None:
        self.key = key
        self.member = member
        self.unreadable = unreadable
        self.problem = problem
        if remedy is None:
            command = f"redis-cli DEL {key}" if member is None else f"redis-cli ZREM {key} {str(member[:100])[1:]}"
            remedy = f"remove it: {command}"
        super().__init__(f"{key} {problem}; see who writes there, then {remedy}")


class PlanningError(TaskqueueError):
    """Due entries or occurrences could not be planned, and all others were; the cause is what the first one met.

    They are tried again.
    """


class UnknownScriptError(StoreError):
    """Redis has no script of this SHA: it was never loaded, or Redis was restarted since."""


class LeaseLostError(StoreError):
    """The lease does not hold this leader's token any more; nothing was written."""


class ServiceError(TaskqueueError):
    """A service that development needs could not be found or started; the text says what to install."""


class NotFoundError(TaskqueueError):
    """What was named does not exist; the text says what, and where to look for what does."""


class RefusedError(TaskqueueError):
    """Nothing was done: it conflicts with what is there, or needs a consent (`--yes`, `--force`) that was not given."""


class ConflictError(RefusedError):
    """Nothing was done: the API says that what is there does not allow it now."""


class UnauthorizedError(TaskqueueError):
    """A token or password is missing or wrong, or lacks the right; the text never holds it."""


class UnreachableError(TaskqueueError):
    """An address does not answer; the text names it, and the setting it comes from."""
