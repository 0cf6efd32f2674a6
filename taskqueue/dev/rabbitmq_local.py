"""RabbitMQ for development, from an installed `rabbitmq-server`: own ports, own node, own Erlang port mapper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taskqueue.dev.local_server import LocalServer, free_ports
from taskqueue.dev.probe import amqp_answers, port_answers
from taskqueue.dev.programs import find_program, search_path
from taskqueue.errors import ServiceError

#: Debian's /usr/sbin/rabbitmq-server changes to another user and writes to the system's log; what it wraps does not
_UNWRAPPED = "/usr/lib/rabbitmq/bin"

#: seconds; a boot takes 10 on two idle cores
_START_DEADLINE = 120.0

#: The worker that moves expired messages out of quorum queues: wait for a lost confirm 5 s instead of 3 min, and keep
#: more in flight than 32. Neither has a name in rabbitmq.conf.
DEAD_LETTER_ARGUMENTS = (
    "-rabbit dead_letter_worker_publisher_confirm_timeout 5000 -rabbit dead_letter_worker_consumer_prefetch 256"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRabbitMQ:
    """A RabbitMQ that is not started yet: start `port_mapper` first, end it last."""

    port_mapper: LocalServer
    server: LocalServer
    amqp_url: str
    management_url: str | None


def find_rabbitmq_server(environ: Mapping[str, str]) -> Path | None:
    """Return the installed rabbitmq-server, or None."""
    return find_program("rabbitmq-server", environ, _UNWRAPPED)


def local_rabbitmq(program: Path, directory: Path, environ: Mapping[str, str], *, management: bool) -> LocalRabbitMQ:
    """Return a RabbitMQ node that keeps everything it writes in `directory`.

    Guest may log in from this machine only. Raises ServiceError when Erlang's port mapper `epmd` is not found.
    """
    port, distribution_port, epmd_port, management_port = free_ports(4)
    environment = {
        "PATH": search_path(environ),
        "HOME": str(directory),  # the node's cookie; an existing one of the user stays as it is
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd_port),
        # The start script then becomes the Erlang VM; as its parent it would hide the VM from our signals.
        "RUNNING_UNDER_SYSTEMD": "true",
        **_node_environment(directory, port, distribution_port),
    }
    (directory / "rabbitmq.conf").write_text(_configuration(port, management_port if management else None))
    (directory / "enabled_plugins").write_text("[rabbitmq_management].\n" if management else "[].\n")
    (directory / "rabbitmq-env.conf").touch()
    (directory / "conf.d").mkdir()
    server = LocalServer(
        name="rabbitmq",
        command=[str(program)],
        environment=environment,
        directory=directory,
        ready=lambda: amqp_answers("127.0.0.1", port),
        deadline=_START_DEADLINE,
    )
    return LocalRabbitMQ(
        port_mapper=_port_mapper(epmd_port, directory, environment),
        server=server,
        amqp_url=f"amqp://guest:guest@127.0.0.1:{port}/",
        management_url=f"http://127.0.0.1:{management_port}" if management else None,
    )


def _node_environment(directory: Path, port: int, distribution_port: int) -> dict[str, str]:
    return {
        "RABBITMQ_NODENAME": f"taskqueue-{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_PID_FILE": str(directory / "rabbitmq.pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        # Each of these would otherwise be read from /etc/rabbitmq.
        "RABBITMQ_CONF_ENV_FILE": str(directory / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(directory / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+sbwt none {DEAD_LETTER_ARGUMENTS}",
    }


def _configuration(port: int, management_port: int | None) -> str:
    lines = [f"listeners.tcp.1 = 127.0.0.1:{port}", "disk_free_limit.absolute = 50MB", "log.console = false"]
    if management_port is not None:
        lines += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {management_port}"]
    return "\n".join(lines) + "\n"


def _port_mapper(port: int, directory: Path, environment: Mapping[str, str]) -> LocalServer:
    # Left to itself, Erlang starts one as a daemon that outlives every node.
    program = find_program("epmd", environment)
    if program is None:
        raise ServiceError("RabbitMQ is installed but Erlang's `epmd` is not in PATH; install Erlang's base package")
    return LocalServer(
        name="epmd",
        command=[str(program), "-address", "127.0.0.1", "-port", str(port)],
        environment=environment,
        directory=directory,
        ready=lambda: port_answers("127.0.0.1", port),
        deadline=10.0,
    )
