"""The options by which every `taskqueue failed` verb chooses messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from taskqueue.cli.option_groups import grouped
from taskqueue.config.duration import parse_duration
from taskqueue.core.failures import Choice
from taskqueue.core.instants import parse_rfc3339
from taskqueue.errors import ConfigError, InvalidValueError

_Texts = list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the command line asks for. Each option may stand there again: any of its values will do."""

    task: Annotated[_Texts, typer.Option(help="Of this task; may be repeated, as all of these.")] = None
    host: Annotated[_Texts, typer.Option(help="Of calls to this host: name, name:port or scheme://name:port.")] = None
    reason: Annotated[_Texts, typer.Option(help="Why nothing more was tried, such as retries_exhausted.")] = None
    code: Annotated[_Texts, typer.Option(help="The last error, such as http_500.")] = None
    fingerprint: Annotated[_Texts, typer.Option(help="Of this kind, as `stats` names it.")] = None
    user: Annotated[_Texts, typer.Option(help="Of this user.")] = None
    job: Annotated[_Texts, typer.Option(help="This job.")] = None
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Failed then or later: RFC 3339, or so long ago, such as 2h.")
    ] = None
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Failed then or before.")] = None

    def choice(self) -> Choice:
        """Return what they choose. Raises ConfigError for an instant that is none."""
        return Choice(
            tasks=frozenset(self.task or ()),
            hosts=frozenset(self.host or ()),
            reasons=frozenset(self.reason or ()),
            codes=frozenset(self.code or ()),
            fingerprints=frozenset(self.fingerprint or ()),
            users=frozenset(self.user or ()),
            jobs=frozenset(self.job or ()),
            since=_instant("--since", self.since),
            until=_instant("--until", self.until),
        )


#: a verb that chooses messages: its first parameter are the filters
filtered = grouped(Filters)


def _instant(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.now(UTC) - parse_duration(text)
    except InvalidValueError:
        pass
    try:
        return parse_rfc3339(text)
    except InvalidValueError:
        raise ConfigError(
            f"{option} {text[:40]}: use an instant such as 2024-01-15T10:00:00Z, or a duration such as 2h"
        ) from None
