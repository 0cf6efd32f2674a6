"""The services of docker/compose.yaml, run from the image's files: own mounts, a root that is read-only, no rights.

Only the network is this machine's: names of services become 127.0.0.1, and each has a free port.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from taskqueue.dev.local_server import LocalServer, free_ports
from taskqueue.dev.probe import redis_answers
from taskqueue.dev.programs import search_path
from taskqueue.dev.rabbitmq_local import find_rabbitmq_server, local_rabbitmq
from taskqueue.dev.redis_local import find_redis_server
from tests.support.compose import Service, read_compose
from tests.support.dockerfile import Stage
from tests.support.image_root import Layer

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"

_MOUNTS = """
mkdir -p "$ROOT/run/secrets"
mount --bind "$SECRETS" "$ROOT/run/secrets"
mount --bind "$CONFIG" "$ROOT/etc/taskqueue"
mount -o remount,bind,ro "$ROOT/etc/taskqueue"
mount -o remount,ro "$ROOT"
mount -t tmpfs tmpfs "$ROOT/tmp"
"""

#: what a container with `cap_drop: ALL` and `no-new-privileges` may do
_NO_RIGHTS = ("setpriv", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")


@dataclass(slots=True, kw_only=True)
class Stack:
    """What runs. `config` stands for config/ of the checkout, `secrets` for docker/secrets."""

    directory: Path
    stage: Stage
    layer: Layer
    secrets: Path
    config: Path
    services: dict[str, Service] = field(default_factory=lambda: read_compose(DOCKER / "compose.yaml")[0])
    redis_port: int = 0
    amqp_port: int = 0
    management_url: str = ""
    running: list[LocalServer] = field(default_factory=list)

    def start_redis(self) -> None:
        """Start Redis with docker/redis/redis.conf."""
        program = find_redis_server(os.environ)
        assert program is not None
        (self.redis_port,) = free_ports(1)
        data = self.directory / "redis"
        data.mkdir()
        text = (DOCKER / "redis" / "redis.conf").read_text(encoding="utf-8")
        text = text.replace("/run/secrets", str(self.secrets)).replace("dir /data", f"dir {data}")
        (data / "redis.conf").write_text(text, encoding="utf-8")
        words = [str(data / "redis.conf"), "--bind", "127.0.0.1", "--port", str(self.redis_port)]
        self._keep(
            LocalServer(
                name="redis",
                command=[str(program), *words],
                environment={"PATH": search_path(os.environ)},
                directory=data,
                ready=lambda: redis_answers("127.0.0.1", self.redis_port),
                deadline=30,
            )
        ).start()

    def start_rabbitmq(self) -> None:
        """Start RabbitMQ with the three files of docker/rabbitmq/ and the definitions that were made."""
        program = find_rabbitmq_server(os.environ)
        assert program is not None
        data = self.directory / "rabbitmq"
        data.mkdir()
        made = local_rabbitmq(program, data, os.environ, management=True)
        self.amqp_port = int(made.amqp_url.rstrip("/").rpartition(":")[2])
        self.management_url = str(made.management_url)
        (prometheus_port,) = free_ports(1)
        for source, target, _ in self.services["rabbitmq"].volumes:
            if source.startswith("./"):
                text = (DOCKER / source).read_text(encoding="utf-8")
                # A test may run on a disk that a broker would not do with.
                text = text.replace("/run/secrets", str(self.secrets)).replace("= 2GB", "= 50MB")
                place = data / target.removeprefix("/etc/rabbitmq/")
                place.parent.mkdir(exist_ok=True)
                if place.suffix == ".conf":
                    text += f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {prometheus_port}\n"
                place.write_text(text, encoding="utf-8")
        for server in (made.port_mapper, made.server):
            self._keep(server).start()

    def replace_hosts(self) -> None:
        """Let the URLs among the secrets point to where RabbitMQ is."""
        for path in self.secrets.glob("amqp-*-url"):
            path.chmod(0o644)
            path.write_text(path.read_text().replace("@rabbitmq:5672/", f"@127.0.0.1:{self.amqp_port}/"))

    def amqp_url(self, user: str) -> str:
        """Return the URL with which a user of definitions.json logs in."""
        if user == "monitor":  # people log in with this one, and no process of ours
            password = (self.secrets / "rabbitmq-monitor-password").read_text(encoding="utf-8")
            return f"amqp://taskqueue-monitor:{password}@127.0.0.1:{self.amqp_port}/taskqueue"
        return (self.secrets / f"amqp-{user}-url").read_text(encoding="utf-8")

    def run(self, name: str, *words: str, **environment: str) -> str:
        """Run a service that ends by itself, with `words` for its command, and return what it wrote. Fails with it."""
        done = subprocess.run(
            self._command(words or self.services[name].command),
            env=self._environment(name, environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def start(self, name: str, number: int, **environment: str) -> Container:
        """Start a service of ours; it is there when its health check says so."""
        (port,) = free_ports(1)
        environment |= {"TASKQUEUE_SERVER__PORT": str(port)}
        check = [word.replace(f":{self._port(name)}/", f":{port}/") for word in self.services[name].healthcheck]
        container = Container(stack=self, name=name, port=port, environment=environment, check=check)
        data = self.directory / f"{name}-{number}"
        data.mkdir()
        container.server = self._keep(
            LocalServer(
                name=name,
                command=self._command(self.services[name].command),
                environment=self._environment(name, environment),
                directory=data,
                ready=lambda: container.healthy(container.check),
                deadline=60,
            )
        )
        container.server.start()
        return container

    def stop(self) -> None:
        """End everything that runs, the last first."""
        for server in reversed(self.running):
            server.kill()

    def _keep(self, server: LocalServer) -> LocalServer:
        self.running.append(server)
        return server

    def _port(self, name: str) -> str:
        return self.services[name].ports[-1].rpartition(":")[2]

    def _command(self, words: Sequence[str], entrypoint: Sequence[str] | None = None) -> list[str]:
        uid, _, gid = self.layer.user.partition(":")
        entry = self.stage.exec_form("ENTRYPOINT") if entrypoint is None else entrypoint
        drop = (*_NO_RIGHTS, f"--reuid={uid}", f"--regid={gid}")
        return self.layer.command([*entry, *words], before=_MOUNTS, wrap=drop)

    def _environment(self, name: str, more: dict[str, str]) -> dict[str, str]:
        given = dict(self.services[name].environment)
        if "TASKQUEUE_REDIS__ADDRESSES" in given:
            given["TASKQUEUE_REDIS__ADDRESSES"] = json.dumps([f"127.0.0.1:{self.redis_port}"])
        if "TASKQUEUE_MANAGEMENT_URL" in given:
            given["TASKQUEUE_MANAGEMENT_URL"] = self.management_url
        # Only the secrets that the service is given are there to be read.
        shown = self.directory / f"secrets-of-{name}"
        shown.mkdir(exist_ok=True)
        for secret in self.services[name].secrets:
            # In one step: somebody else of that service may be reading it.
            copy = self.directory / f"{secret}-{threading.get_ident()}"
            shutil.copy(self.secrets / secret, copy)
            copy.replace(shown / secret)
        places = {"SECRETS": str(shown), "CONFIG": str(self.config)}
        return self.layer.variables({**given, **more, **places})


@dataclass(slots=True, kw_only=True)
class Container:
    """One service that runs, at a port of this machine."""

    stack: Stack
    name: str
    port: int
    environment: dict[str, str]
    check: list[str]
    server: LocalServer | None = None

    @property
    def url(self) -> str:
        """Where its endpoints are."""
        return f"http://127.0.0.1:{self.port}"

    def healthy(self, check: Sequence[str]) -> bool:
        """Run a health check inside, as Docker does, and return whether it succeeded."""
        done = subprocess.run(
            self.stack._command(check, entrypoint=()),
            env=self.stack._environment(self.name, self.environment),
            capture_output=True,
            timeout=30,
            check=False,
        )
        return done.returncode == 0
