from __future__ import annotations

from dataclasses import replace

from taskqueue.broker.names import queue_name
from taskqueue.core.host_limit import LONGEST_RAMP_S, MOST_LOOKS, HostLimit, HostReport, Sign
from taskqueue.core.task import Priority
from taskqueue.core.waiting import GLOBAL, task_limit
from taskqueue.scheduler.gates import Gates
from taskqueue.store.limits import Limit, Limits

NOW = 1_795_300_000.0


def limited(global_: float | None = None, **tasks: float) -> Gates:
    """Return gates with these limits, in jobs per second, and as many at once."""
    gates = Gates(100)
    gates.limits_are(
        Limits(
            global_=None if global_ is None else Limit(rate=global_, burst=global_),
            tasks={task_id: Limit(rate=rate, burst=rate) for task_id, rate in tasks.items()},
        )
    )
    for limit in (GLOBAL, *map(task_limit, tasks)):
        gates.room(limit, NOW - 60)  # known for a minute
    return gates


def let_out(gates: Gates, task_id: str, now: float = NOW, priority: Priority = Priority.NORMAL) -> int:
    """Let out as many jobs as may go; return how many."""
    count = 0
    while gates.pass_through(task_id, priority, None, now) is None and count < 1000:
        count += 1
    return count


def test_without_limits_everything_goes() -> None:
    assert let_out(Gates(100), "report") == 1000


def test_a_task_goes_no_faster_than_its_limit_and_keeps_no_other_back() -> None:
    gates = limited(report=5)

    assert let_out(gates, "report") == 5
    assert gates.pass_through("report", Priority.NORMAL, None, NOW) == "task:report"
    assert let_out(gates, "another") == 1000
    assert let_out(gates, "report", NOW + 1) == 5


def test_all_tasks_together_keep_the_global_limit() -> None:
    gates = limited(global_=8, report=5)

    assert [let_out(gates, "report"), let_out(gates, "another")] == [5, 3]
    assert gates.pass_through("another", Priority.NORMAL, None, NOW) == "global"


def test_a_job_that_one_gate_stops_takes_nothing_from_the_other() -> None:
    gates = limited(global_=8, report=5)
    let_out(gates, "report")
    for _ in range(10):
        gates.pass_through("report", Priority.NORMAL, None, NOW)

    assert let_out(gates, "another") == 3


def test_jobs_of_later_take_places_then_and_none_now() -> None:
    gates = limited(report=4)

    ahead = [gates.pass_through("report", Priority.NORMAL, NOW + 30 + number / 10, NOW) for number in range(10)]

    assert ahead.count(None) == 4
    assert let_out(gates, "report") == 4


def test_a_limit_told_again_keeps_what_was_taken_and_a_new_one_counts_at_once() -> None:
    gates = limited(report=5)
    let_out(gates, "report")

    gates.limits_are(Limits(tasks={"report": Limit(rate=5, burst=5)}))
    assert let_out(gates, "report") == 0

    gates.limits_are(Limits(tasks={"report": Limit(rate=7, burst=7)}))
    assert [let_out(gates, "report"), let_out(gates, "report", NOW + 1)] == [1, 7]

    gates.limits_are(Limits())
    assert let_out(gates, "report") == 1000


def test_nothing_goes_to_a_queue_that_is_full_until_it_is_shorter() -> None:
    gates = Gates(100)
    gates.depths_are({queue_name(Priority.NORMAL): 100})

    assert gates.pass_through("report", Priority.NORMAL, None, NOW) == "queue:normal"
    assert gates.pass_through("report", Priority.NORMAL, NOW + 10, NOW) == "queue:normal"
    assert gates.pass_through("report", Priority.HIGH, None, NOW) is None

    gates.depths_are({queue_name(Priority.NORMAL): 40})
    assert let_out(gates, "report") == 60


def test_the_room_of_a_task_is_that_of_its_narrowest_gate() -> None:
    gates = limited(global_=8, report=5)
    gates.depths_are({queue_name(Priority.LOW): 98})

    assert gates.room_for("report", Priority.NORMAL, NOW) == 5
    assert gates.room_for("another", Priority.NORMAL, NOW) == 8
    assert gates.room_for("report", Priority.LOW, NOW) == 2
    assert Gates(100).room_for("report", Priority.LOW, NOW) is None


def test_jobs_follow_into_free_places_and_none_while_all_are_taken() -> None:
    gates = Gates(100)
    gates.places_are({"report": (4, 4)})
    assert gates.room("concurrency:report", NOW) == 0

    gates.places_are({"report": (1, 4)})
    assert gates.room("concurrency:report", NOW + 1) == 3 + 1


def test_one_look_at_the_places_lets_no_more_follow_than_it_found() -> None:
    gates = Gates(100)
    gates.places_are({"report": (1, 4)})
    room = gates.room("concurrency:report", NOW) or 0
    for _ in range(room):
        gates.followed("concurrency:report", "report", NOW)

    assert gates.room("concurrency:report", NOW + 0.1) == 0
    assert gates.room("concurrency:report", NOW + 0.3) == 3 + 2


def test_places_that_are_never_all_taken_get_more_and_more_jobs_up_to_a_bound() -> None:
    gates = Gates(100)
    gates.places_are({"report": (1, 4)})

    rooms = [gates.room("concurrency:report", NOW + number) for number in range(10)]

    assert rooms == [4, 5, 7, 11, 19, 35, 43, 43, 43, 43]


def test_a_task_whose_concurrency_is_not_limited_any_more_holds_nobody() -> None:
    gates = Gates(100)
    gates.places_are({"report": (4, 4)})
    gates.places_are({})

    assert gates.room("concurrency:report", NOW) is None


HOST = "host:http%3A%2F%2Fa%3A80"


def with_host(report: HostReport | None, gates: Gates | None = None) -> Gates:
    """Return gates where `report` calls a host of which this is known."""
    gates = gates or Gates(10_000)
    gates.targets_are({"report": HOST, "another": "host:http%3A%2F%2Fb%3A80"})
    gates.hosts_are({} if report is None else {HOST: report})
    return gates


def shut_host(until: float, *, probing: bool = False) -> HostReport:
    return HostReport(limit=0, in_flight=0, closed_until=until, since=NOW - 1, closings=1, probing=probing)


def open_host(limit: int, in_flight: int = 0) -> HostReport:
    return HostReport(limit=limit, in_flight=in_flight, closed_until=None, since=NOW - 1)


def test_nothing_goes_to_a_closed_host_and_everything_to_others() -> None:
    gates = with_host(shut_host(NOW + 5))

    assert gates.pass_through("report", Priority.NORMAL, None, NOW) == HOST
    assert (gates.room(HOST, NOW), gates.room_for("report", Priority.NORMAL, NOW)) == (0, 0)
    assert let_out(gates, "another") == 1000


def test_a_closed_host_whose_time_is_over_gets_one_probe() -> None:
    gates = with_host(shut_host(NOW))

    assert let_out(gates, "report") == 1
    assert gates.room(HOST, NOW + 1) == 0


def test_a_probe_of_which_nobody_tells_is_followed_by_another_one() -> None:
    gates = with_host(shut_host(NOW))
    let_out(gates, "report")

    assert let_out(gates, "report", NOW + 2) == 1


def test_a_probe_that_ended_without_a_call_is_followed_at_once_by_twice_as_many() -> None:
    report = shut_host(NOW)
    gates, sent = with_host(report), []
    for number in range(10):
        sent.append(let_out(gates, "report", NOW + number / 4))
        report = replace(report, empty_looks=report.empty_looks + sent[-1])
        with_host(report, gates)

    assert sent == [1, 2, 4, 8, 16, 32, 64, 128, MOST_LOOKS, MOST_LOOKS]
    with_host(replace(report, empty_looks=0, since=NOW, closings=2), gates)
    assert let_out(gates, "report", NOW + 5) == 1


def sent_each_quarter(report: HostReport, seconds: float) -> list[int]:
    """Return how many jobs follow each other to a host whose places are always empty when somebody looks."""
    gates = with_host(report)
    return [let_out(gates, "report", NOW + quarter / 4) for quarter in range(int(seconds * 4))]


def test_a_host_that_has_just_opened_gets_no_more_jobs_ahead_than_it_has_places() -> None:
    sent = sent_each_quarter(replace(open_host(8), since=NOW), LONGEST_RAMP_S)
    assert sent == [9, 10, 12, *[16] * (len(sent) - 3)]


def test_a_clock_that_steps_back_does_not_make_the_ramp_of_a_host_last() -> None:
    report = replace(open_host(8), since=NOW + 3600)
    gates = with_host(report)
    let_out(gates, "report", NOW)
    with_host(report, gates)

    after = NOW + LONGEST_RAMP_S
    sent = [let_out(gates, "report", after + quarter / 4) for quarter in range(12)]
    assert sent[-1] > 16


def test_a_host_that_opened_long_ago_gets_as_many_ahead_as_it_takes() -> None:
    sent = sent_each_quarter(replace(open_host(8), since=NOW - LONGEST_RAMP_S), 3)
    assert sent[:5] == [9, 10, 12, 16, 24]
    assert max(sent) == 88


def test_fifty_thousand_jobs_that_need_no_call_leave_a_host_that_is_well_again_within_minutes() -> None:
    limit = HostLimit(64, NOW)
    limit.learn(Sign.TOO_MUCH, NOW, asked_s=1, jitter=0)
    gates, dead, now = with_host(limit.report(NOW)), 50_000, NOW + 1
    while dead > 0 and now < NOW + 600:
        for _ in range(min(dead, let_out(gates, "report", now))):
            assert limit.wait(now) == 0
            limit.end(limit.begin())
            dead -= 1
        now += 0.5
        with_host(limit.report(now), gates)

    assert now - NOW < 180
    assert let_out(gates, "report", now) > 0
    assert limit.may_call(limit.begin(), now)


def test_no_probe_follows_while_one_is_under_way() -> None:
    assert let_out(with_host(shut_host(NOW, probing=True)), "report") == 0


def test_a_job_of_an_unknown_task_in_the_list_of_a_closed_host_is_its_probe_as_well() -> None:
    gates = with_host(shut_host(NOW))
    assert gates.room(HOST, NOW) == 1

    gates.followed(HOST, "removed", NOW)

    assert gates.room(HOST, NOW) == 0


def test_an_open_host_gets_what_is_free_and_little_more() -> None:
    gates = with_host(open_host(8, in_flight=3))
    assert let_out(gates, "report") == 5 + 1


def test_a_job_that_followed_to_an_open_host_is_counted_once() -> None:
    gates = with_host(open_host(8))
    gates.pass_through("report", Priority.NORMAL, None, NOW)
    gates.followed(HOST, "report", NOW)
    assert gates.room(HOST, NOW) == 8


def test_a_host_that_opens_after_it_was_closed_begins_with_little() -> None:
    gates = with_host(open_host(50))
    for number in range(10):
        gates.room(HOST, NOW + number)
    with_host(shut_host(NOW + 20), gates)
    gates.room(HOST, NOW + 11)

    with_host(open_host(1), gates)

    assert gates.room(HOST, NOW + 21) == 1 + 1


def test_a_host_of_which_no_worker_says_anything_holds_nobody() -> None:
    gates = with_host(shut_host(NOW + 5))
    with_host(None, gates)

    assert gates.room(HOST, NOW) is None
    assert let_out(gates, "report") == 1000


def test_nothing_is_sent_ahead_of_its_time_to_a_host_in_trouble() -> None:
    gates = with_host(open_host(8))
    assert gates.pass_through("report", Priority.NORMAL, NOW + 30, NOW) == HOST


def test_a_limit_of_nothing_lets_nothing_out_now_or_later_and_keeps_no_other_task_back() -> None:
    gates = Gates(10_000)
    gates.limits_are(Limits(tasks={"report": Limit(rate=0, burst=1)}))

    assert gates.pass_through("report", Priority.NORMAL, None, NOW) == "task:report"
    assert gates.pass_through("report", Priority.NORMAL, NOW + 30, NOW) == "task:report"
    assert (gates.room("task:report", NOW), gates.room_for("report", Priority.NORMAL, NOW)) == (0, 0)
    assert let_out(gates, "another") == 1000

    gates.limits_are(Limits())
    assert let_out(gates, "report") == 1000
