from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskqueue.core.task import Target
from taskqueue.worker.redaction import MARK, Redaction, Redactor, searchable
from taskqueue.worker.references import References
from tests.support.fakes import targeting

#: holds what each way of writing it changes: slash, quote, space, plus, ampersand, backslash
SECRET = 's3cr/et "of+life&\\ 42?>~ü'


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        json.dumps({"echo": SECRET}),
        json.dumps({"echo": SECRET}, ensure_ascii=False),
        json.dumps({"echo": SECRET}).replace("/", "\\/"),
        html.escape(SECRET),
        repr(SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)
def test_a_secret_is_found_however_an_answer_shows_it(shown: str) -> None:
    cleaned = Redactor((SECRET,)).body(f"Authorization: {shown}.".encode(), cut=False).decode()

    assert MARK in cleaned
    assert "s3cr" not in cleaned
    assert "42" not in cleaned


@given(before=st.binary(max_size=8), after=st.binary(max_size=8), secret=st.text("abcXYZ019-_", min_size=8))
def test_no_base64_of_a_text_around_a_secret_shows_it(before: bytes, after: bytes, secret: str) -> None:
    redactor = Redactor((secret,))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        cleaned = redactor.text(encode(before + secret.encode() + after).decode())

        assert MARK in cleaned


@given(prefix=st.binary(max_size=20), kept=st.integers(4, 31))
def test_a_body_that_is_cut_amid_a_secret_does_not_show_its_beginning(prefix: bytes, kept: int) -> None:
    secret = "0123456789abcdefghijklmnopqrstuv"

    cleaned = Redactor((secret,)).body(prefix + secret[:kept].encode(), cut=True)

    assert cleaned == prefix + MARK.encode()


def test_the_end_of_a_whole_body_is_no_beginning_of_a_secret() -> None:
    assert Redactor(("https://hooks.example/secret",)).body(b"use https", cut=False) == b"use https"


def test_a_very_long_secret_is_looked_for_in_little_time() -> None:
    secret = "a" * 60_000 + "b"

    assert Redactor((secret,)).body(b"a" * 64_000, cut=True).endswith(MARK.encode())


def test_a_value_with_spaces_around_it_is_found_without_them() -> None:
    assert Redactor((" top-secret ",)).text("[top-secret]") == f"[{MARK}]"


@pytest.mark.parametrize("shown", ["hooks-x1y2.example:8443", "hooks-x1y2.example", "/in/T0001/B0002"])
def test_of_a_secret_url_its_host_and_its_path_are_secret_too(shown: str) -> None:
    redactor = Redactor(("https://Hooks-X1Y2.example:8443/in/T0001/B0002",))

    assert redactor.text(f"{shown}: connection refused").startswith(MARK)


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        (base64.b64encode(b"reports:s3cret, and long").decode(), "no user reports:s3cret, and long"),
        (base64.b64encode(b"reports:s3cret, and long").decode(), "wrong password s3cret, and long"),
        (base64.urlsafe_b64encode(b"s3cret>>>???").decode().rstrip("="), "key s3cret>>>???"),
        ("whsec_" + base64.b64encode(b"s3cret-signing-key").decode(), "key s3cret-signing-key"),
    ],
)
def test_the_text_of_which_a_secret_is_the_base64_is_secret_too(secret: str, shown: str) -> None:
    cleaned = Redactor((secret,)).text(shown)

    assert cleaned.endswith(MARK)
    assert "s3cret" not in cleaned


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"{}", {}, True),
        (b"{}", {"content-encoding": "Identity", "content-type": "text/plain; charset=iso-8859-1"}, True),
        (b"{}", {"content-encoding": "gzip"}, False),
        (b"{}", {"content-encoding": "identity, br"}, False),
        (b"{}", {"content-type": 'text/plain; format=flowed; charset="UTF-16LE"'}, False),
        (b"{}", {"content-type": "text/plain;charset=utf-32"}, False),
        ("ü{}".encode("utf-16-be"), {"content-type": "text/plain"}, False),
    ],
)
def test_what_is_compressed_or_no_superset_of_ascii_cannot_be_searched(
    body: bytes, headers: dict[str, str], expected: bool
) -> None:
    assert searchable(body, headers) is expected


def test_what_is_too_short_to_be_a_secret_stays() -> None:
    assert Redactor(("abc", "")).text("abc") == "abc"


@given(st.binary(max_size=200))
def test_a_body_without_secrets_stays_as_it_is_byte_for_byte(body: bytes) -> None:
    assert Redactor(("0123456789abcdef",)).body(body, cut=True) == body


def test_half_a_surrogate_pair_does_not_stop_the_search() -> None:
    assert Redactor(("top-secret",)).text("\ud800 top-secret") == f"? {MARK}"


def test_a_task_without_references_has_nothing_to_look_for() -> None:
    task = targeting(Target(endpoint="https://reports.example/", headers={"X-Plain": "plain"}))

    assert Redaction(References({})).of(task) is None


def test_a_tasks_secrets_are_those_of_its_headers_its_endpoint_and_its_signatures(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-a-file\n", encoding="utf-8")
    target = Target(
        endpoint="https://reports.example/?token=${env:IN_URL}",
        headers={"Authorization": f"Bearer ${{env:IN_HEADER}} ${{file:{file}}}"},
        signing_secrets=("${env:SIGNING}",),
    )
    environ = {"IN_URL": "from-the-url", "IN_HEADER": "from-a-header", "SIGNING": "whsec_c2lnbmluZw=="}

    redactor = Redaction(References(environ)).of(targeting(target))

    assert redactor is not None
    assert redactor.text("from-the-url from-a-header from-a-file whsec_c2lnbmluZw==") == " ".join([MARK] * 4)


def test_a_new_definition_of_a_task_is_looked_at_anew() -> None:
    redaction = Redaction(References({"TOKEN": "top-secret"}))
    plain = targeting(Target(endpoint="https://reports.example/"))
    assert redaction.of(plain) is None

    assert redaction.of(targeting(Target(endpoint="https://reports.example/${env:TOKEN}"))) is not None


def test_a_redactor_has_no_secret_in_its_repr() -> None:
    assert "top-secret" not in repr(Redactor(("top-secret",)))
