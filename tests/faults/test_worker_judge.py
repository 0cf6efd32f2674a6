"""The judge of killed workers sees what is wrong in made-up findings; workers with a mistake: see the kill points."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.support.ledger import Verdict
from tests.support.worker_ledger import Allowed, GivenJob, Kind, Seen, WorkerLedger

AGAIN, COPY = Allowed(again=(1, 1)), Allowed(copies=(1, 1))


def seen(**changes: Any) -> Seen:
    """Return what is seen of a job that was called once and succeeded, with `changes`."""
    return Seen(
        **{
            "attempts": {"job-1": [1]},
            "keys": {"ann": {"job-1"}},
            "statuses": {"job-1": "success"},
            "done": {"job-1": "success"},
            "counted": Counter(ok=1),
            **changes,
        }
    )


def failure(**changes: Any) -> Seen:
    """Return what is seen of a job that failed for good, with `changes`."""
    ended: dict[str, Any] = {"statuses": {"job-1": "failed"}, "done": {"job-1": "failed"}, "counted": Counter(final=1)}
    return seen(**ended | {"failed": Counter({"job-1": 1})} | changes)


def judged(findings: Seen, kind: Kind = "ok", allowed: Allowed | None = None) -> Verdict:
    job = GivenJob(id="job-1", user="ann", kind=kind)
    return WorkerLedger([job], [allowed or Allowed()]).judge(findings)


@pytest.mark.parametrize(
    ("findings", "kind", "allowed"),
    [
        (seen(), "ok", None),
        (seen(attempts={"job-1": [1, 1]}), "ok", AGAIN),
        (seen(attempts={"job-1": [1, 2]}, counted=Counter(retried=1)), "retried", None),
        (failure(), "final", None),
        (failure(failed=Counter({"job-1": 2})), "final", COPY),
        (Seen(failed=Counter({"job-1": 1})), "malformed", None),
    ],
)
def test_what_is_as_it_must_be_is_clean(findings: Seen, kind: Kind, allowed: Allowed | None) -> None:
    assert judged(findings, kind, allowed).clean


@pytest.mark.parametrize(
    ("findings", "kind"),
    [
        (seen(attempts={}), "ok"),
        (seen(statuses={"job-1": "retrying"}), "ok"),
        (seen(done={"job-1": None}), "ok"),
        (failure(done={"job-1": "failing:bad_status"}), "final"),
        (failure(failed=Counter()), "final"),
        (Seen(), "malformed"),
    ],
)
def test_a_job_without_its_call_its_record_or_its_message_is_lost(findings: Seen, kind: Kind) -> None:
    assert judged(findings, kind).lost == ((kind, "ann", None),)


@pytest.mark.parametrize(
    ("findings", "kind", "allowed"),
    [
        (seen(attempts={"job-1": [1, 1]}), "ok", None),
        (seen(attempts={"job-1": [1, 1, 1]}), "ok", AGAIN),
        (seen(attempts={"job-1": [1, 2]}), "ok", AGAIN),
        (seen(keys={"ann": {"job-1", "job-2"}}), "ok", None),
        (failure(failed=Counter({"job-1": 2})), "final", None),
        (failure(failed=Counter({"job-1": 3})), "final", COPY),
        (seen(failed=Counter({"job-1": 1})), "ok", None),
    ],
)
def test_a_call_or_a_message_that_no_crash_allows_is_one_too_many(
    findings: Seen, kind: Kind, allowed: Allowed | None
) -> None:
    assert judged(findings, kind, allowed).twice == ((kind, "ann", None),)


@pytest.mark.parametrize(
    ("findings", "kind", "allowed"),
    [
        (seen(counted=Counter(ok=2)), "ok", None),
        (seen(), "ok", AGAIN),
        (failure(), "final", COPY),
    ],
)
def test_a_second_end_and_a_crash_elsewhere_are_unexpected(findings: Seen, kind: Kind, allowed: Allowed | None) -> None:
    assert judged(findings, kind, allowed).unexpected != ()
