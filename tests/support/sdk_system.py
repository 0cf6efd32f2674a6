"""The system that SDKs talk to: all processes, an endpoint whose answers have a result and log lines, two tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from taskqueue.assets import asset_dir
from taskqueue.config.sections import RedisSettings
from taskqueue.core.token import Scope
from taskqueue.store.connection import RedisStore
from taskqueue.store.scripts import Scripts
from taskqueue.store.tokens import TokenStore
from tests.support.api_system import TOKEN, ApiSystem, api_system, url_of
from tests.support.system import Place, System

#: what every task calls that names nothing else; keys of both fashions, for no SDK may touch them
REPORT = {
    "records_processed": 10000,
    "outputFile": "s3://bucket/report.pdf",
    "nested": {"snake_key": [1, 2.5, None, True], "camelKey": {"": "empty", "Ünïcode ✓": "📦"}},
    "logs": [{"timestamp": "2026-01-08T05:00:01.5Z", "level": "WARNING", "message": "one row was empty"}, "done"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkApi:
    """An API to be called, and what runs behind it. `token` may do everything, `read_token` may only look."""

    url: str
    token: str = field(repr=False)
    read_token: str = field(repr=False)
    running: ApiSystem

    def filled(self, example: str) -> str:
        """Return an example of the documents with this API's address and `token`; it has one place for each."""
        for placeholder, value in {"https://api.example.com": self.url, "your_api_key": self.token}.items():
            assert example.count(placeholder) == 1
            example = example.replace(placeholder, value)
        return example


@asynccontextmanager
async def sdk_api(system: System) -> AsyncIterator[SdkApi]:
    """Start all processes, and make the tokens."""
    async with api_system(system, report=REPORT) as running:
        read_token = await _token(system.place, Scope.READ)
        yield SdkApi(url=url_of(running.process), token=TOKEN, read_token=read_token, running=running)


async def _token(place: Place, scope: Scope) -> str:
    settings = RedisSettings.model_validate(place.settings()["redis"])
    store = RedisStore(settings, client_name="taskqueue-test")
    try:
        tokens = TokenStore(store, Scripts(store, asset_dir("lua")))
        return (await tokens.create(name="sdk", scope=scope, now=datetime.now(UTC))).text
    finally:
        await store.close()
