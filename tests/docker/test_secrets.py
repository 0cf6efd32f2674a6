from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.compose import read_compose

DOCKER = Path(__file__).resolve().parents[2] / "docker"


def make_secrets(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DOCKER / "make-secrets.sh", directory],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script makes."""
    directory = tmp_path_factory.mktemp("docker") / "secrets"
    done = make_secrets(directory)
    assert done.returncode == 0, done.stderr
    return directory


def passwords_of_rabbitmq(secrets: Path) -> dict[str, str]:
    urls = [urlsplit(path.read_text()) for path in secrets.glob("amqp-*-url")]
    monitor = {"taskqueue-monitor": (secrets / "rabbitmq-monitor-password").read_text()}
    return {str(url.username): str(url.password) for url in urls} | monitor


def test_it_makes_every_secret_that_compose_names(secrets: Path) -> None:
    _, document = read_compose(DOCKER / "compose.yaml")

    files = {Path(entry["file"]).name for entry in document["secrets"].values()}

    assert files
    assert files <= {path.name for path in secrets.iterdir()}


def test_every_password_is_the_one_whose_hash_rabbitmq_gets(secrets: Path) -> None:
    users = json.loads((secrets / "rabbitmq-definitions.json").read_text())["users"]
    passwords = passwords_of_rabbitmq(secrets)

    assert passwords.keys() == {user["name"] for user in users}
    for user in users:
        stored = base64.b64decode(user["password_hash"])
        assert stored[4:] == hashlib.sha256(stored[:4] + passwords[user["name"]].encode()).digest(), user["name"]


def test_every_password_is_the_one_whose_hash_redis_gets(secrets: Path) -> None:
    acl = (secrets / "redis-users.acl").read_text()

    for user in ("taskqueue", "operator"):
        password = (secrets / f"redis-{user}-password").read_text()
        assert f"user {user} on #{hashlib.sha256(password.encode()).hexdigest()} " in acl


def test_no_two_secrets_are_the_same_and_none_is_short(secrets: Path) -> None:
    found = [*passwords_of_rabbitmq(secrets).values()]
    found += [(secrets / name).read_text() for name in ("redis-taskqueue-password", "redis-operator-password")]
    found.append((secrets / "api-bootstrap-token").read_text())

    assert len(set(found)) == len(found) == 8
    assert all(re.fullmatch(r"[0-9a-f]{48,64}", secret) for secret in found)


def test_only_their_owner_comes_to_the_files_which_containers_can_read(secrets: Path) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o444}


def test_secrets_that_are_there_stay(secrets: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}

    done = make_secrets(secrets)

    assert done.returncode == 1
    assert "stays as it is" in done.stderr
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


def test_without_openssl_it_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "dirname"):
        (tools / name).symlink_to(Path("/bin" if name == "sh" else "/usr/bin") / name)

    done = make_secrets(tmp_path / "secrets", PATH=str(tools))

    assert done.returncode == 1
    assert "openssl is needed" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"bin"}


def test_no_committed_file_of_docker_holds_a_secret() -> None:
    definitions = json.loads((DOCKER / "rabbitmq" / "definitions.json").read_text())

    assert all(re.fullmatch(r"@[a-z]+@", user["password_hash"]) for user in definitions["users"])
    assert set(re.findall(r"#(\S+)", (DOCKER / "redis" / "users.acl").read_text())) == {"@taskqueue@", "@operator@"}
    assert "password" not in (DOCKER / ".env.example").read_text().lower()
