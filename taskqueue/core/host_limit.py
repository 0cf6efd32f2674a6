"""The adaptive limit of one host: how many calls to it one worker may have in flight, by what the last ones met.

Additive increase, multiplicative decrease (D.-M. Chiu, R. Jain, "Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance in Computer Networks", 1989): an answer that says "too much" halves the limit, `limit` good answers
raise it by one. Below one call the host is closed for a while that doubles from closing to closing; then one call, the
probe, finds out whether it is back. It gets its calls back over about as long as it was closed, half a minute at most:
round trips alone would bring a fast host all calls of all workers within a second, and what has just started is seldom
ready for them. A host that takes calls and answers none of them is not closed: its limit goes down to one call, so that
it does not keep all hands.

Times are unix seconds by the clock of Redis, since workers compare them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from math import floor, inf
from urllib.parse import urlsplit

from taskqueue.core.outcome import Outcome
from taskqueue.core.reference import host_by_reference

#: a closed host stays so for this long, twice as long after each probe that failed, up to the longest
FIRST_CLOSED_S = 1.0
LONGEST_CLOSED_S = 60.0

#: a host that is back has its whole limit again after as long as it was closed, and no later than this
LONGEST_RAMP_S = 30.0

#: a host that asks for more peace than this (Retry-After) is tried again all the same
LONGEST_ASKED_S = 300.0

#: what was found out so long ago says nothing any more
FORGOTTEN_AFTER_S = 600.0

#: a probe that is under way for so long has connected: a long call, so that another probe may follow
PROBE_ALONE_S = 10.0

#: jobs that may look at a time whether they are the probe of a closed host
MOST_LOOKS = 256

_PORTS = {"http": 80, "https": 443}
_TOO_MUCH = frozenset({429, 503})
_NO_CONNECTION = frozenset({"dns_failure", "connect_timeout", "connection_refused", "connection_failed", "tls_error"})
_NO_ANSWER = "timeout"


class Sign(Enum):
    """What a call says about its host."""

    REACHED = auto()
    #: 429, 503 or no connection
    TOO_MUCH = auto()
    #: no answer within the time that the call had
    SILENT = auto()
    #: nothing: the call broke off, or was never made
    NONE = auto()


def sign_of(outcome: Outcome) -> Sign:
    """Return what the outcome of a call says about the host: any answer but 429 and 503 says that it is well."""
    if outcome.status in _TOO_MUCH or outcome.code in _NO_CONNECTION:
        return Sign.TOO_MUCH
    if outcome.code == _NO_ANSWER:
        return Sign.SILENT
    return Sign.NONE if outcome.status is None else Sign.REACHED


@lru_cache(maxsize=4096)
def host_of(endpoint: str) -> str:
    """Return the host that an endpoint (config/http_rules) calls: `scheme://host:port`, in lower case.

    A host that a reference stands for is known by that, whatever it may be: `https://${env:HOST}`.
    """
    if (by_reference := host_by_reference(endpoint)) is not None:
        return by_reference
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return f"{parts.scheme}://{host}:{parts.port or _PORTS.get(parts.scheme, 0)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What one worker knows about a host. `limit` and `in_flight` are calls.

    `closed_until` is None while the host is open. `since` is when this last changed, `closings` how often it was closed
    without an opening in between. `probing`: no other probe may follow now. `empty_looks` jobs in a row came as probes
    of the closed host and ended without a call. `hearsay`: it only has heard of trouble.
    """

    limit: int
    in_flight: int
    closed_until: float | None
    since: float
    closings: int = 0
    probing: bool = False
    empty_looks: int = 0
    hearsay: bool = False


class HostLimit:
    """The limit of one host in one worker. `ceiling`: as many calls as the worker makes at a time.

    On `hearsay` nothing is held back: others have trouble with the host, and this worker looks whether it has as well.
    """

    __slots__ = (
        "_answered",
        "_begun",
        "_ceiling",
        "_empty_looks",
        "_epoch",
        "_looks",
        "_probed_at",
        "_probes",
        "_ramp_s",
        "_shrunk",
        "_silent",
        "_troubled_at",
        "closed_until",
        "closings",
        "hearsay",
        "in_flight",
        "limit",
        "since",
        "touched",
    )

    def __init__(self, ceiling: int, now: float, *, hearsay: bool = False) -> None:
        self._ceiling = float(max(1, ceiling))
        #: calls are numbered from 1; those below these numbers began before the last closing or opening, the last
        #: halving, the last answer
        self._begun = self._epoch = self._shrunk = self._answered = 0
        #: a call ended in silence, and there was no answer since
        self._silent = False
        #: of a closed host: jobs that look, those of them that call, when the last of these began
        self._looks = self._empty_looks = 0
        self._probes: set[int] = set()
        self._probed_at = now
        #: when it was first closed without an opening since; over how long the limit may grow since it was opened
        self._troubled_at = now
        self._ramp_s = 0.0
        self.limit = 1.0 if hearsay else self._ceiling
        self.in_flight = 0
        self.closed_until: float | None = None
        self.closings = 0
        self.hearsay = hearsay
        self.since = now
        self.touched = now

    # --- calls --------------------------------------------------------------------------------------------------------

    def wait(self, now: float) -> float:
        """Return 0 where a job may go on, else in how many seconds one may: inf as soon as another one is over."""
        self.touched = now
        self._follow_clock(now)
        if self.closed_until is not None:
            if now < self.closed_until:
                return self.closed_until - now
            looks = self._looks - len(self._probes)
            return inf if self.probing(now) or looks >= min(MOST_LOOKS, 1 + self._empty_looks) else 0.0
        return 0.0 if self.hearsay or self.in_flight < floor(self.limit) else inf

    def probing(self, now: float) -> bool:
        """Return whether the probes under way are enough: there is a new one, or they are a quarter of all calls."""
        alone = 0 <= now - self._probed_at < PROBE_ALONE_S
        return bool(self._probes) and (alone or len(self._probes) >= max(2, self._ceiling // 4))

    def begin(self) -> int:
        """Note that a job goes on, after `wait` said 0; return what `may_call` and `end` want to know about it."""
        self.in_flight += 1
        self._begun += 1
        if self.closed_until is not None:
            self._looks += 1
        return self._begun

    def may_call(self, began: int, now: float) -> bool:
        """Ask just before the call: of the jobs that look whether a closed host is back, one at a time calls it.

        Many may look, because jobs that turn out to need no call (expired, switched off, done) would else keep the
        others waiting. What began before the host was last closed or opened waits like all others.
        """
        if began < self._epoch:
            return False
        if self.closed_until is None:
            return True
        if self.probing(now):
            return False
        self._probes.add(began)
        self._probed_at = now
        self._empty_looks = 0
        return True

    def end(self, began: int) -> None:
        """Note that a job is over; `learn` what its call met afterwards."""
        self.in_flight -= 1
        if self.closed_until is None or began < self._epoch:
            return
        self._looks -= 1
        if began in self._probes:
            self._probes.remove(began)
        elif not self._probes:
            self._empty_looks += 1

    def learn(self, sign: Sign, now: float, *, began: int = 0, asked_s: float | None = None, jitter: float) -> None:
        """Draw the consequence of what a call met. `asked_s` is its Retry-After, `jitter` uniform in [0, 1).

        `began` is what `begin` returned, 0 for a call from before the host was limited. What began before the host was
        last closed or opened says nothing new, but for a Retry-After; and calls that began together and met too much
        halve the limit once.
        """
        self.touched = now
        asked_s = min(asked_s or 0.0, LONGEST_ASKED_S) if sign is Sign.TOO_MUCH else 0.0
        if sign is Sign.REACHED:
            self._silent, self._answered = False, self._begun + 1
        if began < self._epoch:
            if asked_s and self.closed_until is not None:
                self.closed_until = max(self.closed_until, now + asked_s)
        elif asked_s:
            self._close(now, asked_s)
        elif sign is Sign.TOO_MUCH:
            self._shrink(now, began, jitter)
        elif sign is Sign.SILENT:
            self._note_silence(began)
        elif sign is Sign.REACHED:
            self._grow(now)

    # --- what others know ---------------------------------------------------------------------------------------------

    def hear(self, report: HostReport) -> None:
        """Follow what another worker found out later, while the host is closed here: it never closes what is open."""
        if self.closed_until is None or report.since <= self.since:
            return
        # A worker whose jobs are never the probe would forget the host, and try it with all hands.
        self.touched = max(self.touched, report.since)
        if report.closed_until is None:
            self._open(report.since)
        else:
            self._turn(report.since)
            self.closed_until = max(self.closed_until, report.closed_until)
            self.closings = report.closings

    def report(self, now: float) -> HostReport:
        """Return what this worker tells the others."""
        self._follow_clock(now)
        return HostReport(
            limit=floor(self.limit),
            in_flight=self.in_flight,
            closed_until=self.closed_until,
            since=self.since,
            closings=self.closings,
            probing=self.probing(now),
            empty_looks=self._empty_looks,
            hearsay=self.hearsay,
        )

    def forgettable(self, now: float) -> bool:
        """Return whether it is as good as no limit: grown to its ceiling, or of long ago."""
        well = self.closed_until is None and not self.hearsay and not self._silent
        recovered = well and self.limit >= self._ceiling
        return recovered or (self.in_flight == 0 and now - self.touched > FORGOTTEN_AFTER_S)

    # --- up and down --------------------------------------------------------------------------------------------------

    def _follow_clock(self, now: float) -> None:
        # A host is never closed for longer: where it seems so, the clock was set back.
        if self.closed_until is not None:
            self.closed_until = min(self.closed_until, now + LONGEST_ASKED_S)

    def _grow(self, now: float) -> None:
        if self.closed_until is not None:
            self._open(now)
        else:
            # A clock that steps back, after a failover of Redis, would else hold the ramp up until it is there again.
            self.since = min(self.since, now)
            # After the ramp `since` is long ago, and without an opening there is none.
            ramp = self._ceiling * (now - self.since) / self._ramp_s if self._ramp_s else inf
            self.limit = max(self.limit, min(self._ceiling, self.limit + 1 / self.limit, ramp))

    def _shrink(self, now: float, began: int, jitter: float) -> None:
        if self.closed_until is None:
            if began < self._shrunk:
                return
            self._halve()
        if self.closed_until is not None or self.limit < 1:
            longest_s = min(LONGEST_CLOSED_S, FIRST_CLOSED_S * 2.0 ** min(self.closings, 10))
            self._close(now, longest_s * (0.5 + jitter / 2))

    def _note_silence(self, began: int) -> None:
        """Halve the limit, to one call at least, where no call that began later had an answer either.

        The first call in silence only warns: of a host that is well one may take too long now and then.
        """
        if self.closed_until is not None or began < max(self._shrunk, self._answered):
            return
        if self._silent:
            self._halve()
            self.limit = max(1.0, self.limit)
        self._silent = True

    def _halve(self) -> None:
        if self.hearsay:
            # Now it is more than hearsay.
            self.hearsay, self.limit = False, self._ceiling
        self.limit /= 2
        self._shrunk = self._begun + 1

    def _close(self, now: float, seconds: float) -> None:
        if self.closings == 0:
            self._troubled_at = now
        self.closed_until = now + seconds
        self.closings += 1
        self.hearsay = False
        self._turn(now)

    def _open(self, now: float) -> None:
        self.closed_until = None
        self.closings = 0
        self._ramp_s = min(LONGEST_RAMP_S, max(0.0, now - self._troubled_at))
        self._turn(now)

    def _turn(self, now: float) -> None:
        self.since = now
        self.limit = 1.0
        self._epoch = self._begun + 1
        self._looks = self._empty_looks = 0
        self._probes.clear()


def over_all_workers(reports: Iterable[HostReport]) -> HostReport:
    """Return what the reports of one host, at least one, come to together.

    Open where any worker has it open, with the sum of their limits and calls; else closed as it was closed last.
    """
    known = list(reports)
    latest = max(known, key=lambda report: report.since)
    opened = [report for report in known if report.closed_until is None]
    return HostReport(
        limit=sum(report.limit for report in opened),
        in_flight=sum(report.in_flight for report in opened),
        closed_until=None if opened else latest.closed_until,
        since=latest.since,
        closings=latest.closings,
        probing=not opened and any(report.probing for report in known),
        empty_looks=0 if opened else sum(report.empty_looks for report in known),
        hearsay=all(report.hearsay for report in known),
    )
