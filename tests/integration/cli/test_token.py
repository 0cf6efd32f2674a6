"""`taskqueue token`, as its user runs it, against a real Redis."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from taskqueue.core.token import digest_of, read_token
from tests.integration.cli.conftest import DEAD_ADDRESS, Run
from tests.support.commands import run_here


@pytest.fixture
def run_token(directory: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `taskqueue token` beside a config/api.yaml; return its exit code, output and errors."""
    (directory / "config" / "api.yaml").write_text("api: {}\n", encoding="utf-8")

    return partial(run_here, capsys, "token")


def created(run_token: Run, *options: str) -> tuple[str, str]:
    """Make a token; return its id and its text."""
    code, out, _ = run_token("create", "--scope", "write", "--name", "ci", *options)
    assert code == 0
    return out.split("_")[1], out.strip()


def listed(run_token: Run) -> list[dict[str, Any]]:
    code, out, err = run_token("list", "-o", "json")
    assert (code, err) == (0, "")
    return list(json.loads(out)["tokens"])


def test_a_new_token_alone_is_on_standard_output(store: redis.Redis, run_token: Run) -> None:
    code, out, err = run_token("create", "--scope", "admin", "--name", "me")

    read = read_token(out.strip())
    assert code == 0
    assert read is not None
    assert store.hget(f"taskqueue:api:token:{read[0]}", "digest") == read[1].hex()
    assert f"{read[0]} (me, admin): holds until it is revoked" in err
    assert out.strip() not in err


def test_the_list_shows_everything_but_the_secrets(store: redis.Redis, run_token: Run) -> None:
    token_id, text = created(run_token, "--expires", "90d")

    (row,) = listed(run_token)

    assert (row["id"], row["name"], row["scope"], row["state"]) == (token_id, "ci", "write", "active")
    assert row["expires_at"] > row["created_at"]
    assert row["last_used_at"] is row["revoked_at"] is row["rotated_at"] is row["previous_secret_until"] is None
    secret = text.rpartition("_")[2]
    assert secret[:32] not in json.dumps(row)
    assert digest_of(secret[:32]).hex() not in json.dumps(row)


def test_the_list_is_a_table_on_request(store: redis.Redis, run_token: Run) -> None:
    token_id, _ = created(run_token)

    code, out, _ = run_token("list", "-o", "table")

    assert code == 0
    assert "last used at" in out
    assert token_id in out


def test_an_empty_list_is_a_list(store: redis.Redis, run_token: Run) -> None:
    assert listed(run_token) == []


def test_a_revoked_token_stays_in_the_list(store: redis.Redis, run_token: Run) -> None:
    token_id, _ = created(run_token)

    code, out, _ = run_token("revoke", token_id, "--yes")

    assert code == 0
    assert out.startswith(f"{token_id} (ci): revoked at ")
    assert listed(run_token)[0]["state"] == "revoked"


def test_without_consent_no_token_is_revoked(store: redis.Redis, run_token: Run) -> None:
    token_id, _ = created(run_token)

    refused = run_token("revoke", token_id)
    dry = run_token("revoke", token_id, "--dry-run")

    assert refused == (
        4,
        "",
        f"revoke token {token_id} for good: nobody to ask; add --yes, or --dry-run to look first\n",
    )
    assert dry == (0, f"would revoke token {token_id} for good\n", "")
    assert listed(run_token)[0]["state"] == "active"


def test_a_token_that_is_revoked_is_not_rotated(store: redis.Redis, run_token: Run) -> None:
    token_id, _ = created(run_token)
    run_token("revoke", token_id, "--yes")

    code, out, err = run_token("rotate", token_id)

    assert (code, out) == (4, "")
    assert "is revoked" in err


def test_programs_get_the_token_as_an_object_on_request(store: redis.Redis, run_token: Run) -> None:
    code, out, _ = run_token("create", "--scope", "read", "--name", "ci", "-o", "yaml")

    made = yaml.safe_load(out)
    assert (code, made["name"], made["scope"], made["expires_at"]) == (0, "ci", "read", None)
    assert made["token"].startswith(f"tq_{made['id']}_")


def test_a_rotated_token_keeps_its_id_and_has_another_secret(store: redis.Redis, run_token: Run) -> None:
    token_id, text = created(run_token)

    code, out, err = run_token("rotate", token_id, "--overlap", "1h")

    assert code == 0
    assert out.startswith(f"tq_{token_id}_")
    assert out.strip() != text
    assert "the secret before until" in err
    (row,) = listed(run_token)
    assert row["previous_secret_until"] > row["rotated_at"]


def test_a_rotation_without_overlap_leaves_one_secret(store: redis.Redis, run_token: Run) -> None:
    token_id, _ = created(run_token)

    code, _, _ = run_token("rotate", token_id, "--overlap", "0s", "--expires", "1d")

    (row,) = listed(run_token)
    assert code == 0
    assert row["previous_secret_until"] is None
    assert row["expires_at"] > row["created_at"]


@pytest.mark.parametrize(("verb", "options"), [("revoke", ["--yes"]), ("rotate", [])])
def test_an_unknown_id_is_not_found(store: redis.Redis, run_token: Run, verb: str, options: list[str]) -> None:
    code, out, err = run_token(verb, "aaaaaaaaaa", *options)

    assert (code, out) == (3, "")
    assert err == "there is no token aaaaaaaaaa; see taskqueue token list\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["create", "--scope", "write", "--name", ""], "--name: "),
        (["create", "--scope", "write", "--name", "two\nlines"], "--name: "),
        (["create", "--scope", "write", "--name", "ci", "--expires", "90"], "--expires: duration '90'"),
        (["create", "--scope", "write", "--name", "ci", "--expires", "0s"], "--expires 0s: "),
        (["create", "--scope", "everything", "--name", "ci"], "--scope"),
        (["rotate", "aaaaaaaaaa", "--overlap", "soon"], "--overlap: duration 'soon'"),
        (["revoke", "tq_aaaaaaaaaa_0123"], "ID: not the id of a token"),
        (["revoke", "*"], "ID: not the id of a token"),
    ],
)
def test_wrong_usage_is_named_and_changes_nothing(
    store: redis.Redis, run_token: Run, arguments: list[str], complaint: str
) -> None:
    code, out, err = run_token(*arguments)

    assert (code, out) == (2, "")
    assert complaint in err
    assert store.dbsize() == 0


def test_without_redis_it_fails_and_says_where_it_looked(run_token: Run) -> None:
    code, out, err = run_token("list")

    assert (code, out) == (5, "")
    assert DEAD_ADDRESS in err
