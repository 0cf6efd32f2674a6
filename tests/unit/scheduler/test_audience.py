from __future__ import annotations

import json
from datetime import timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.interval import Every, EveryKind
from taskqueue.core.occurrence import DEFAULT_COHORT, cohort_id
from taskqueue.core.task import Target, Task
from taskqueue.errors import InvalidValueError
from taskqueue.scheduler.audience import AudienceIndex
from taskqueue.store.users import CustomInterval, Switches

HOURLY = Every(kind=EveryKind.HOURLY, value=1)
TWO_HOURLY = Every(kind=EveryKind.HOURLY, value=2)
TWO_HOURS = cohort_id(TWO_HOURLY)


def task(task_id: str = "report", *, default_enabled: bool = False) -> Task:
    target = Target(endpoint="http://h/", max_duration=timedelta(seconds=1))
    return Task(id=task_id, name=task_id, interval=HOURLY, target=target, default_enabled=default_enabled)


def switches(user: str, **tasks: bool) -> Switches:
    on = frozenset(task_id for task_id, switch in tasks.items() if switch)
    return Switches(user_id=user, on=on, off=frozenset(tasks) - on)


def gone(user: str) -> Switches:
    return Switches(user_id=user, exists=False)


def wants(user: str, text: str | None, task_id: str = "report") -> CustomInterval:
    return CustomInterval(user_id=user, task_id=task_id, text=text)


def every(hours: int) -> str:
    return json.dumps({"type": "hourly", "value": hours})


def index_of(*found: Switches | CustomInterval) -> AudienceIndex:
    index = AudienceIndex()
    for each in found:
        index.apply(each)
    return index


def users(index: AudienceIndex, of: Task, cohort: str = DEFAULT_COHORT) -> set[str]:
    return {user for piece in index.enabled_users(of, cohort) for user in piece}


def test_a_user_gets_a_task_that_is_switched_on() -> None:
    index = index_of(switches("ann", report=True))

    assert index.enabled(task(), "ann")


def test_a_user_does_not_get_a_task_that_is_switched_off() -> None:
    index = index_of(switches("ann", report=False))

    assert not index.enabled(task(default_enabled=True), "ann")


def test_a_user_who_says_nothing_of_a_task_gets_it_when_that_is_its_default() -> None:
    index = index_of(switches("ann", another=True))

    assert [index.enabled(task(default_enabled=default), "ann") for default in (True, False)] == [True, False]


def test_nobody_gets_a_task_by_default_without_any_preferences() -> None:
    assert not index_of().enabled(task(default_enabled=True), "stranger")


def test_a_switch_that_is_turned_counts_as_it_stands_now() -> None:
    index = index_of(switches("ann", report=True), switches("ann", report=False, another=True))

    assert users(index, task()) == set()
    assert users(index, task("another")) == {"ann"}


def test_a_user_whose_preferences_are_gone_gets_nothing() -> None:
    index = index_of(switches("ann", report=True), gone("ann"))

    assert (len(index), users(index, task(default_enabled=True))) == (0, set())


@pytest.mark.parametrize("default_enabled", [True, False])
def test_the_count_is_the_number_of_enabled_users_in_all_cohorts(default_enabled: bool) -> None:
    index = index_of(
        switches("ann", report=True),
        switches("bob", report=False),
        switches("cleo", another=True),
        switches("dan", report=True),
        wants("dan", every(2)),
    )
    of = task(default_enabled=default_enabled)

    assert index.count(of) == len(users(index, of)) + len(users(index, of, TWO_HOURS))


def test_no_cohort_has_more_enabled_users_than_are_told() -> None:
    index = index_of(switches("ann", report=True), switches("bob", report=False), wants("bob", every(2)))

    assert [index.most(task(), cohort) for cohort in (DEFAULT_COHORT, TWO_HOURS, "unheard of")] == [1, 1, 0]


def test_many_users_come_in_pieces_and_each_once() -> None:
    names = [f"user-{number}" for number in range(5000)]
    index = index_of(
        *(switches(name, report=True) for name in names), *(wants(name, every(2)) for name in names[:3000])
    )

    for cohort, expected in ((DEFAULT_COHORT, names[3000:]), (TWO_HOURS, names[:3000])):
        found = list(index.enabled_users(task(), cohort))
        assert sorted(user for piece in found for user in piece) == sorted(expected)
        assert max(map(len, found)) <= 2000


def test_a_custom_interval_moves_its_user_into_a_cohort() -> None:
    index = index_of(switches("ann", report=True), switches("bob", report=True), wants("ann", every(2)))

    assert index.cohorts("report") == {TWO_HOURS: TWO_HOURLY}
    assert (users(index, task()), users(index, task(), TWO_HOURS)) == ({"bob"}, {"ann"})


def test_equal_rules_in_different_words_are_one_cohort() -> None:
    index = index_of(wants("ann", every(2)), wants("bob", '{"value":2,"timezone":"UTC","type":"hourly"}'))

    assert list(index.cohorts("report")) == [TWO_HOURS]


def test_a_cohort_is_that_of_one_task() -> None:
    index = index_of(wants("ann", every(2), "another"))

    assert index.cohorts("report") == {}


def test_a_member_of_a_cohort_who_is_switched_off_is_not_called() -> None:
    index = index_of(wants("ann", every(2)), switches("ann", report=False))

    assert users(index, task(default_enabled=True), TWO_HOURS) == set()


def test_a_cohort_is_gone_with_its_last_member() -> None:
    index = index_of(wants("ann", every(2)), wants("bob", every(2)), wants("ann", None))
    assert list(index.cohorts("report")) == [TWO_HOURS]

    index.apply(wants("bob", every(3)))

    assert list(index.cohorts("report").values()) == [Every(kind=EveryKind.HOURLY, value=3)]


def test_the_revision_changes_when_a_cohort_comes_and_when_it_goes() -> None:
    index = index_of()
    revisions = [index.cohorts_revision]
    for change in (wants("ann", every(2)), wants("ann", None)):
        index.apply(change)
        revisions.append(index.cohorts_revision)

    assert len(set(revisions)) == 3


def test_the_revision_stays_while_the_cohorts_do() -> None:
    index = index_of(wants("ann", every(2)))
    before = index.cohorts_revision

    for change in (wants("bob", every(2)), wants("bob", None), wants("ann", every(2)), switches("ann", report=True)):
        index.apply(change)

    assert index.cohorts_revision == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "[]",
        "not json",
        "{}",
        '{"type":"hourly","value":0}',
        '{"type":"daily","timezone":"Mars"}',
        "[" * 100_000,
    ],
)
def test_an_interval_that_is_none_is_told_and_leaves_the_user_in_the_default_cohort(text: str) -> None:
    index = index_of(switches("ann", report=True), wants("ann", every(2)))

    with pytest.raises(InvalidValueError, match=r"custom_interval of user 'ann' for report: "):
        index.apply(wants("ann", text))

    assert (users(index, task()), dict(index.cohorts("report"))) == ({"ann"}, {})


def test_an_interval_is_told_to_be_none_each_time_it_is_read() -> None:
    index = index_of()

    for _ in range(2):
        with pytest.raises(InvalidValueError):
            index.apply(wants("ann", "nonsense"))


def test_the_known_keys_are_those_that_the_index_is_built_from() -> None:
    index = index_of(switches("ann", report=True), wants("ann", every(2)), wants("a:b", every(3)), wants("bob", None))

    assert sorted(index.known_keys()) == [
        "taskqueue:users:a:b:settings:report",
        "taskqueue:users:ann:settings:report",
        "taskqueue:users:ann:tasks",
    ]


@pytest.mark.parametrize("cohort", [DEFAULT_COHORT, TWO_HOURS])
@pytest.mark.parametrize("default_enabled", [True, False])
def test_users_who_come_and_go_meanwhile_make_nobody_else_come_twice_or_not_at_all(
    cohort: str, default_enabled: bool
) -> None:
    # The event loop goes on applying changes while a large audience is being ordered.
    names = [f"user-{number}" for number in range(5000)]
    index = index_of(*(switches(name, report=True) for name in names))
    if cohort:
        for name in names:
            index.apply(wants(name, every(2)))
    leaving, found = iter(names[:2500]), list[str]()

    for number, piece in enumerate(index.enabled_users(task(default_enabled=default_enabled), cohort)):
        found += piece
        index.apply(switches(f"new-{number}", report=True))
        index.apply(wants(f"new-{number}", every(2) if cohort else None))
        for name in islice(leaving, 100):
            index.apply(gone(name))
            index.apply(switches(name, report=True, another=True))

    assert len(found) == len(set(found))
    assert set(names) <= set(found)


def test_the_index_holds_what_its_known_keys_tell_of() -> None:
    index = index_of(switches("ann", report=True), wants("ann", every(2)), wants("bob", None))

    assert all(index.holds(key) for key in index.known_keys())
    assert not any(
        index.holds(key)
        for key in (
            "taskqueue:users:bob:settings:report",
            "taskqueue:users:ann:settings:sync",
            "taskqueue:users:bob:tasks",
            "taskqueue:distribution:lock",
        )
    )


def test_switches_that_were_too_many_to_read_are_told_and_the_user_gets_nothing() -> None:
    index = index_of(switches("ann", report=True))

    with pytest.raises(InvalidValueError, match=r"switches of user 'ann': 6000 fields.*5000 at most"):
        index.apply(Switches(user_id="ann", exists=False, unread=6000))

    assert not index.enabled(task(default_enabled=True), "ann")


NAMES = st.sampled_from(["ann", "bob", "cleo", "dan"])
TASK_IDS = st.sampled_from(["report", "sync"])
CHANGES = st.one_of(
    st.builds(lambda user, tasks: switches(user, **tasks), NAMES, st.dictionaries(TASK_IDS, st.booleans(), min_size=1)),
    st.builds(gone, NAMES),
    st.builds(wants, NAMES, st.sampled_from([None, every(1), every(2), every(3), "nonsense"]), TASK_IDS),
)


def applied(changes: list[Switches | CustomInterval]) -> AudienceIndex:
    index = AudienceIndex()
    for change in changes:
        try:
            index.apply(change)
        except InvalidValueError:
            assert isinstance(change, CustomInterval)
            assert change.text == "nonsense"
    return index


def seen(index: AudienceIndex) -> object:
    return [
        (
            len(index),
            sorted(index.known_keys()),
            dict(index.cohorts(task_id)),
            index.count(of),
            users(index, of),
            {cohort: users(index, of, cohort) for cohort in index.cohorts(task_id)},
        )
        for task_id in ("report", "sync")
        for of in (task(task_id), task(task_id, default_enabled=True))
    ]


@given(st.lists(CHANGES, max_size=40))
def test_however_it_came_about_the_index_is_that_of_the_final_state(changes: list[Switches | CustomInterval]) -> None:
    final = {
        (change.user_id, change.task_id if isinstance(change, CustomInterval) else None): change for change in changes
    }

    assert seen(applied(changes)) == seen(applied(list(final.values())))


@given(st.lists(CHANGES, max_size=40))
def test_each_enabled_user_is_in_exactly_one_cohort(changes: list[Switches | CustomInterval]) -> None:
    index = applied(changes)

    for of in (task(), task(default_enabled=True)):
        cohorts = (DEFAULT_COHORT, *index.cohorts(of.id))
        everybody = [user for cohort in cohorts for piece in index.enabled_users(of, cohort) for user in piece]
        assert sorted(everybody) == sorted(user for user in ("ann", "bob", "cleo", "dan") if index.enabled(of, user))
        assert len(everybody) == index.count(of)
