"""User ids that break what was built for `user_12345`: each is a legal one, and none may harm another user."""

from __future__ import annotations

from taskqueue.core.ids import MAX_USER_ID_BYTES

HOSTILE_IDS = (
    # our own keys, patterns of Redis, cluster tags
    "a:b",
    "x:tasks",
    "a:settings:b",
    "a:settings:report",
    ":settings",
    ":",
    "taskqueue:users:a:b",
    "a{b}c",
    "*",
    "a?[b-d]",
    "\\",
    # addresses, headers, templates
    "a@b.example",
    "/",
    "../../-/clear",
    "...",
    "%2e%2e",
    "a?b=c&d#e",
    "{user_id}",
    "${env:HOME}",
    "crlf\r\nX-Injected: 1",
    "\"quotes' and `ticks`",
    # what is not seen, or looks like another
    " ",
    " lead and trail ",
    "tab\t",
    "nul\0nul",
    "e\u0301",
    "\u00e9",
    "\u202egnitrats si siht",
    "\u200bzero\ufeffwidth\u2028lines",
    "\U0001f600",
    "-1",
    "None",
    # as long as they may be
    "x" * MAX_USER_ID_BYTES,
    "\u00fc" * (MAX_USER_ID_BYTES // 2),
)

#: what is no user id at all, as bytes of a Redis key
IMPOSSIBLE_IDS = (b"", b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80", b"y" * (MAX_USER_ID_BYTES + 1), b"z" * 10_240)
