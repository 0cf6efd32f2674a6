from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from taskqueue.errors import InvalidValueError
from taskqueue.worker.signing import signature_headers, signing_key

KEYS = st.binary(min_size=24, max_size=64)
IDS = st.text(st.characters(codec="ascii", exclude_characters=".", min_codepoint=33), min_size=1, max_size=40)


def _secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


@given(key=KEYS, message_id=IDS, body=st.text().map(str.encode))
def test_whatever_is_signed_the_reference_library_verifies(key: bytes, message_id: str, body: bytes) -> None:
    headers = signature_headers([key], message_id, int(time.time()), body)

    Webhook(_secret(key)).verify(body, headers, json_parse=False)


@given(key=KEYS, body=st.text(min_size=1).map(str.encode), at=st.integers(0), bit=st.integers(0, 6))
def test_a_changed_body_does_not_verify(key: bytes, body: bytes, at: int, bit: int) -> None:
    headers = signature_headers([key], "job", int(time.time()), body)
    changed = bytearray(body)
    changed[at % len(body)] ^= 1 << bit

    with pytest.raises((WebhookVerificationError, UnicodeDecodeError)):
        Webhook(_secret(key)).verify(bytes(changed), headers)


@pytest.mark.parametrize("changed", [{"webhook-id": "other"}, {"webhook-timestamp": str(int(time.time()) - 1)}])
def test_neither_the_id_nor_the_timestamp_can_be_exchanged(changed: dict[str, str]) -> None:
    headers = signature_headers([b"k" * 24], "job", int(time.time()), b"{}")

    with pytest.raises(WebhookVerificationError):
        Webhook(_secret(b"k" * 24)).verify(b"{}", {**headers, **changed})


def test_while_a_secret_is_replaced_both_verify_and_the_new_one_comes_first() -> None:
    new, old = b"n" * 32, b"o" * 32
    now = int(time.time())

    headers = signature_headers([new, old], "job", now, b"{}")

    for key in (new, old):
        Webhook(_secret(key)).verify(b"{}", headers)
    assert (
        headers["webhook-signature"].split(" ")[0] == signature_headers([new], "job", now, b"{}")["webhook-signature"]
    )


def test_the_example_of_the_specification_has_the_form_of_the_specification() -> None:
    headers = signature_headers([b"k" * 24], "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", 1674087231, b"{}")

    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", "1674087231")
    version, _, signature = headers["webhook-signature"].partition(",")
    assert (version, len(base64.b64decode(signature, validate=True))) == ("v1", 32)


@given(KEYS)
def test_a_secret_holds_its_key_with_and_without_padding(key: bytes) -> None:
    assert signing_key(_secret(key), "${env:A}") == signing_key(_secret(key).rstrip("="), "${env:A}") == key


@pytest.mark.parametrize(
    "secret",
    [
        *("", "whsec_", "whsec_hunter2!", "hunter2", "whsec_é", _secret(b"s" * 23), _secret(b"s" * 65)),
        *(_secret(b"s" * 24).removeprefix("whsec_"), "WHSEC_" + _secret(b"s" * 24)[6:]),
    ],
)
def test_a_secret_that_is_none_is_refused_by_its_reference_and_unseen(secret: str) -> None:
    with pytest.raises(InvalidValueError, match=r"\$\{env:BILLING\}.*base64 of 24 to 64") as caught:
        signing_key(secret, "${env:BILLING}")

    assert secret.removeprefix("whsec_") == "" or secret.removeprefix("whsec_") not in str(caught.value)
