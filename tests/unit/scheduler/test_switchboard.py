from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.errors import InvalidValueError
from taskqueue.scheduler import switchboard
from taskqueue.scheduler.switchboard import Switchboard

NAMES = st.sampled_from(["ann", "bob", "cleo"])
TASK_IDS = ["report", "sync", "mail", "news"]
SWITCHES = st.dictionaries(st.sampled_from(TASK_IDS), st.booleans())


def turn(board: Switchboard, user: str, **tasks: bool) -> None:
    on = frozenset(task for task, switch in tasks.items() if switch)
    board.set(user, on, frozenset(tasks) - on)


def everybody(board: Switchboard) -> list[str]:
    return sorted(user for piece in board.users() for user in piece)


@given(st.lists(st.tuples(NAMES, st.none() | SWITCHES), max_size=40))
def test_it_tells_what_the_last_change_of_each_user_said(changes: list[tuple[str, dict[str, bool] | None]]) -> None:
    board, told = Switchboard(), dict[str, dict[str, bool]]()
    for user, tasks in changes:
        if tasks is None:
            board.discard(user)
            told.pop(user, None)
        else:
            turn(board, user, **tasks)
            told[user] = tasks

    assert (len(board), everybody(board)) == (len(told), sorted(told))
    for task in TASK_IDS:
        on = sorted(user for user, tasks in told.items() if tasks.get(task) is True)
        off = sorted(user for user, tasks in told.items() if tasks.get(task) is False)
        assert board.count(task) == (len(on), len(off))
        assert sorted(user for piece in board.switched_on(task) for user in piece) == on
        assert sorted(user for piece in board.not_switched_off(task) for user in piece) == sorted(told.keys() - off)
        assert {user: board.switch(user, task) for user in told} == {u: tasks.get(task) for u, tasks in told.items()}


def test_a_user_with_switches_for_nothing_is_known_and_a_stranger_is_not() -> None:
    board = Switchboard()
    turn(board, "ann")

    assert ("ann" in board, "bob" in board) == (True, False)


def test_users_with_equal_switches_share_them() -> None:
    board = Switchboard()
    turn(board, "ann", report=True, sync=False)
    turn(board, "bob", sync=False, report=True)

    first, second = (board._shards[switchboard._shard(user)][user] for user in ("ann", "bob"))
    assert first is second


def test_a_user_who_is_told_again_stays_the_same_object() -> None:
    # Or each reconciliation would bring a second text for every user.
    board = Switchboard()
    first, second = "".join(["an", "n"]), "".join(["a", "nn"])
    for user in (first, second):
        turn(board, user, report=True)

    (kept,) = [user for piece in board.users() for user in piece]
    assert kept is first


def test_tasks_that_nobody_switches_any_more_leave_nothing_behind() -> None:
    board = Switchboard()
    for number in range(1000):
        turn(board, f"user-{number}", **{f"task-{number}": True, "report": number % 2 == 0})
        board.discard(f"user-{number}")

    assert (len(board), board._numbers, board._names, board._users_with) == (0, {}, {}, {})
    assert next(board._next_number) < 5


def test_users_who_come_and_go_do_not_make_it_grow() -> None:
    board = Switchboard()
    for number in range(14_000):
        turn(board, f"user-{number}", report=True)
    before = sum(map(sys.getsizeof, board._shards))

    for number in range(60_000):
        board.discard(f"user-{number}")
        turn(board, f"user-{number + 14_000}", report=True)

    assert len(board) == 14_000
    assert sum(map(sys.getsizeof, board._shards)) <= 1.25 * before


def test_with_more_tasks_than_can_be_the_switches_are_refused_and_nothing_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(switchboard, "_MOST_TASKS", 3)
    board = Switchboard()
    turn(board, "ann", a=True, b=False)

    with pytest.raises(InvalidValueError, match="over 3 tasks"):
        turn(board, "bob", c=True, d=True)

    assert (everybody(board), sorted(board._numbers)) == (["ann"], ["a", "b"])
    turn(board, "bob", a=False, b=True)
    assert board.count("b") == (1, 1)
