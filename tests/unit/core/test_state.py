from __future__ import annotations

from itertools import product

import pytest

from taskqueue.core.state import TERMINAL, TRANSITIONS, Status, advance
from taskqueue.errors import InvalidValueError


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert set().union(*TRANSITIONS.values()) <= set(Status)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_leads_out_of_a_terminal_state(status: Status) -> None:
    assert TRANSITIONS[status] == frozenset()


def test_every_state_without_a_way_out_is_terminal() -> None:
    assert {status for status, following in TRANSITIONS.items() if not following} == TERMINAL


def test_every_state_is_reached_from_pending_and_reaches_an_end() -> None:
    reached = {Status.PENDING}
    for _ in Status:
        reached |= set().union(*(TRANSITIONS[status] for status in reached))
    assert reached == set(Status)
    assert all(TRANSITIONS[status] & TERMINAL for status in set(Status) - TERMINAL)


@pytest.mark.parametrize(("current", "following"), list(product(Status, Status)))
def test_advance_follows_the_table_and_nothing_else(current: Status, following: Status) -> None:
    if following in TRANSITIONS[current]:
        assert advance(current, following) is following
    else:
        with pytest.raises(InvalidValueError, match=f"that is {current} cannot become {following}"):
            advance(current, following)


def test_the_specs_words_stand_as_they_are() -> None:
    assert {"pending", "running", "success", "failed", "retrying"} <= {status.value for status in Status}
