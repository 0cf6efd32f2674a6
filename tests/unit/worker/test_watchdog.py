from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from taskqueue.worker.watchdog import Silence

PATIENCE_S = 20.0


def look_on(silence: Silence, seconds: range, *, starved: bool = True, heard_at: float | None = 0.0) -> list[int]:
    """Look at each of `seconds` and return those at which it had lasted too long."""
    return [now for now in seconds if silence.lasted(float(now), starved=starved, heard_at=heard_at) is not None]


def test_a_silence_is_too_long_once_the_patience_is_over() -> None:
    assert look_on(Silence(PATIENCE_S), range(0, 26, 5)) == [20]


def test_it_says_for_how_long_it_has_been_silent() -> None:
    silence = Silence(PATIENCE_S)
    silence.lasted(100, starved=True, heard_at=0)

    assert silence.lasted(123, starved=True, heard_at=0) == 23


def test_where_nothing_could_come_no_silence_is_too_long() -> None:
    assert look_on(Silence(PATIENCE_S), range(0, 1000, 5), starved=False) == []


def test_one_look_at_which_nothing_could_come_begins_it_anew() -> None:
    silence = Silence(PATIENCE_S)
    look_on(silence, range(0, 16, 5))
    look_on(silence, range(16, 17), starved=False)

    assert look_on(silence, range(20, 50, 5)) == [40]


def test_what_comes_ends_it() -> None:
    silence = Silence(PATIENCE_S)

    assert [now for now in range(0, 100, 5) if silence.lasted(now, starved=True, heard_at=now // 15)] == []


def test_after_a_rebuild_in_vain_the_patience_doubles_up_to_a_limit() -> None:
    silence = Silence(1.0)

    too_long = look_on(silence, range(150))

    assert [after - before for before, after in pairwise(too_long)] == [3, 5, 9, 17, 33, 33, 33]


def test_the_time_of_attaching_is_not_taken_for_a_delivery() -> None:
    silence = Silence(PATIENCE_S)
    assert look_on(silence, range(0, 21, 5)) == [20]

    # attached at 21, and silent as before
    assert look_on(silence, range(22, 80, 5), heard_at=21.0) == [62]


def test_a_delivery_after_a_rebuild_brings_the_patience_back() -> None:
    silence = Silence(PATIENCE_S)
    look_on(silence, range(0, 21, 5))
    look_on(silence, range(22, 23), heard_at=21.0)

    assert look_on(silence, range(25, 50, 5), heard_at=24.0) == [45]


def test_while_there_are_no_consumers_no_time_is_counted() -> None:
    silence = Silence(PATIENCE_S)
    look_on(silence, range(0, 16, 5))
    silence.interrupted()

    assert look_on(silence, range(100, 121, 5)) == [120]


@given(
    looks=st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.booleans()), max_size=60),
)
def test_it_is_never_too_long_before_the_patience_has_passed_since_the_last_sign(
    looks: list[tuple[int, bool, bool]],
) -> None:
    silence = Silence(PATIENCE_S)
    now = heard_at = 0
    last_sign: int | None = None
    for step, starved, came in looks:
        now += step
        if came:
            heard_at = now
        if came or not starved:
            last_sign = None
        if starved and last_sign is None:
            last_sign = now

        silent_s = silence.lasted(now, starved=starved, heard_at=heard_at)

        if silent_s is not None:
            assert last_sign is not None
            assert PATIENCE_S <= silent_s == now - last_sign
            last_sign = None
