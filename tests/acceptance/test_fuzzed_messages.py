"""Malformed messages, by a table and by chance: each is delivered once, stands in the failed queue once, with its
reason, and harms no other job. What is readable in spite of all is a job, and is called once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.message_corpus import KNOWN_USER, TASK, Sent, corpus
from tests.support.message_flood import Flood
from tests.support.message_mutations import mutated_messages
from tests.support.system import System

MAX_AGE = timedelta(days=1)

#: messages of one flood: enough for the worker to hold several bad ones at a time
PER_FLOOD = 40

SMOKE_FLOODS = 12

#: with the good messages among them, more than ten thousand
FULL_FLOODS = 250

floods = st.lists(mutated_messages(), min_size=PER_FLOOD, max_size=PER_FLOOD)

#: nothing is made smaller: a flood is real traffic, and a worker that was harmed once stays harmed
unshrunk = settings(
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@pytest.fixture(scope="module")
async def flood(shared_system: System) -> AsyncIterator[Flood]:
    shared_system.write_tasks(shared_system.task(TASK, default_enabled=True, max_age=f"{MAX_AGE.days}d"))
    await shared_system.enable(TASK, KNOWN_USER)
    _, worker = await shared_system.scheduler_and_worker()
    async with Flood(shared_system, worker, MAX_AGE) as flood:
        yield flood


@pytest.mark.timeout(90)
async def test_every_message_of_the_corpus_ends_as_its_table_says(flood: Flood) -> None:
    await flood.send_cases(corpus())


@pytest.mark.timeout(120)
@settings(unshrunk, max_examples=SMOKE_FLOODS)
@given(messages=floods)
async def test_messages_that_were_changed_by_chance_end_once(flood: Flood, messages: list[Sent]) -> None:
    await flood.send(messages)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@settings(unshrunk, max_examples=FULL_FLOODS)
@given(messages=floods)
async def test_ten_thousand_messages_that_were_changed_by_chance_end_once(flood: Flood, messages: list[Sent]) -> None:
    await flood.send(messages)


async def test_the_worker_lives_on_and_leaves_nothing_behind(flood: Flood) -> None:
    await flood.finish()
