"""`taskqueue token`: make, list, rotate and revoke the tokens of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from taskqueue.assets import asset_dir
from taskqueue.cli.config_options import API_YAML, RedisConfig
from taskqueue.cli.confirm import DryRun, Yes, agreed
from taskqueue.cli.output import Answer, Output, OutputFormat, chosen, print_answer, print_data, print_records
from taskqueue.config.duration import parse_duration
from taskqueue.config.settings import load_api_settings
from taskqueue.core.instants import rfc3339
from taskqueue.core.token import ApiToken, Scope, check_token_id, check_token_name
from taskqueue.errors import ConfigError, InvalidValueError
from taskqueue.store.clock import ServerClock
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.tokens import NewSecret, TokenStore

_T = TypeVar("_T")

token_app = typer.Typer(help="Make, list, rotate and revoke the tokens of the API.", no_args_is_help=True)

TokenId = Annotated[str, typer.Argument(metavar="ID", help="As `taskqueue token list` shows it.")]
Expires = Annotated[
    str | None,
    typer.Option("--expires", metavar="DURATION", help="How long it holds, such as 90d.", show_default=False),
]

#: the columns of `list`; JSON and YAML have more
_LISTED = ("id", "name", "scope", "state", "created_at", "expires_at", "last_used_at")


@token_app.callback()
def token() -> None:
    """Make, list, rotate and revoke the tokens of the API."""


@token_app.command()
def create(
    scope: Annotated[
        Scope, typer.Option(help="read: look. write: change tasks too. admin: read the audit log as well.")
    ],
    name: Annotated[str, typer.Option(help="Who uses it, as in ci; for people only.")],
    expires: Expires = None,
    config: RedisConfig = API_YAML,
    output: Answer = None,
) -> None:
    """Make a token and print it, this once: Redis keeps only a hash of its secret. It holds until it is revoked."""
    lasting = _lasting(expires)
    _checked("--name", check_token_name, name)

    async def make(tokens: TokenStore, now: datetime) -> NewSecret:
        return await tokens.create(
            name=name, scope=scope, now=now, expires_at=None if lasting is None else now + lasting
        )

    _print_secret(_with_tokens(config, make), output)


@token_app.command("list")
def list_tokens(config: RedisConfig = API_YAML, output: Output = None) -> None:
    """Show every token, never its secret. Revoked ones are shown for 90 days; the bootstrap token is in no list."""

    async def look(tokens: TokenStore, now: datetime) -> list[dict[str, str | None]]:
        return [_row(each, now) for each in await tokens.all()]

    rows = _with_tokens(config, look)
    if chosen(output) is OutputFormat.TABLE:
        print_records(rows, OutputFormat.TABLE, fields=_LISTED)
    else:
        print_data({"tokens": rows}, chosen(output))


@token_app.command()
def revoke(
    token_id: TokenId,
    *,
    config: RedisConfig = API_YAML,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Answer = None,
) -> None:
    """Let a token hold no more. Every API follows within 5 s.

    Exit 3 when there is no such token.
    """
    _checked("ID", check_token_id, token_id)
    if not agreed(f"revoke token {token_id} for good", yes=yes, dry_run=dry_run):
        return

    async def end(tokens: TokenStore, now: datetime) -> ApiToken:
        return await tokens.revoke(token_id, now)

    revoked = _with_tokens(config, end)
    at = _shown(revoked.revoked_at)
    print_answer(
        f"{token_id} ({revoked.name}): revoked at {at}",
        {"id": token_id, "name": revoked.name, "revoked_at": at},
        output,
    )


@token_app.command()
def rotate(
    token_id: TokenId,
    overlap: Annotated[
        str,
        typer.Option(metavar="DURATION", help="How long the present secret holds beside the new one; 0s: no longer."),
    ] = "24h",
    expires: Expires = None,
    config: RedisConfig = API_YAML,
    output: Answer = None,
) -> None:
    """Give a token a new secret and print the token, this once. Id, name and scope stay, and its end if it has one.

    Exit 3 when there is no such token, 4 when it is revoked or expired.
    """
    _checked("ID", check_token_id, token_id)
    lasting, kept = _lasting(expires), _checked("--overlap", parse_duration, overlap)

    async def renew(tokens: TokenStore, now: datetime) -> NewSecret:
        expires_at = None if lasting is None else now + lasting
        return await tokens.rotate(token_id, now=now, overlap=kept, expires_at=expires_at)

    _print_secret(_with_tokens(config, renew), output)


def _with_tokens(config: Path, work: Callable[[TokenStore, datetime], Awaitable[_T]]) -> _T:
    """Return what `work` makes of the tokens, at the present instant by the clock that the API goes by."""
    settings = load_api_settings(config).redis

    async def run() -> _T:
        store = RedisStore(settings, client_name="taskqueue-token")
        try:
            clock = ServerClock(store)
            await clock.sync()
            return await work(TokenStore(store, Scripts(store, asset_dir("lua"))), clock())
        finally:
            await store.close()

    return asyncio.run(run())


def _print_secret(made: NewSecret, output: OutputFormat | None) -> None:
    """Print the token on standard output; what there is to say about it gets into no pipe, unless it is asked for."""
    until = f"holds until {_shown(made.token.expires_at)}" if made.token.expires_at else "holds until it is revoked"
    about = f"{made.token.token_id} ({made.token.name}, {made.token.scope}): {until}"
    if made.token.previous_until is not None:
        about += f"; the secret before until {_shown(made.token.previous_until)}"
    typer.echo(f"{about}. Keep it safe: it is shown this once.", err=True)
    expires_at, previous_until = _shown(made.token.expires_at), _shown(made.token.previous_until)
    about_it = {"id": made.token.token_id, "name": made.token.name, "scope": made.token.scope, "expires_at": expires_at}
    print_answer(made.text, {**about_it, "previous_secret_until": previous_until, "token": made.text}, output)


def _row(each: ApiToken, now: datetime) -> dict[str, str | None]:
    overlapping = each.previous_until is not None and each.previous_until > now
    return {
        "id": each.token_id,
        "name": each.name,
        "scope": each.scope.value,
        "state": each.state(now).value,
        "created_at": _shown(each.created_at),
        "expires_at": _shown(each.expires_at),
        "last_used_at": _shown(each.last_used_at),
        "revoked_at": _shown(each.revoked_at),
        "rotated_at": _shown(each.rotated_at),
        "previous_secret_until": _shown(each.previous_until) if overlapping else None,
    }


def _shown(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant.replace(microsecond=0))


def _lasting(expires: str | None) -> timedelta | None:
    lasting = None if expires is None else _checked("--expires", parse_duration, expires)
    if lasting == timedelta():
        raise ConfigError(f"--expires {expires}: use a duration above zero, such as 90d")
    return lasting


def _checked(option: str, check: Callable[[str], _T], text: str) -> _T:
    try:
        return check(text)
    except InvalidValueError as error:
        raise ConfigError(f"{option}: {error}") from None
