"""docker/compose.yaml, read: its services as Docker would start them, with the defaults of its variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. `volumes` are (source, target, whether read-only); `secrets` are names under /run/secrets."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    secrets: tuple[str, ...]
    volumes: tuple[tuple[str, str, bool], ...]
    healthcheck: tuple[str, ...]
    ports: tuple[str, ...]
    rest: Mapping[str, Any]


def read_compose(path: Path) -> tuple[dict[str, Service], Mapping[str, Any]]:
    """Return the services by name, and the document; variables have their defaults."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\$(?!\{[A-Z_]+:-)", text), "a variable without a default"
    document = yaml.safe_load(_VARIABLE.sub(lambda match: match[2], text))
    return {name: _service(name, body) for name, body in document["services"].items()}, document


def _service(name: str, body: Mapping[str, Any]) -> Service:
    test = body.get("healthcheck", {}).get("test", ["CMD"])
    assert test[0] == "CMD", f"{name}: a health check that needs a shell"
    environment = body.get("environment", {})
    assert None not in environment.values(), f"{name}: a variable without a value takes that of whoever starts it"
    return Service(
        name=name,
        command=[str(word) for word in body.get("command", [])],
        environment={key: str(value) for key, value in environment.items()},
        secrets=tuple(body.get("secrets", [])),
        volumes=tuple(map(_volume, body.get("volumes", []))),
        healthcheck=tuple(str(word) for word in test[1:]),
        ports=tuple(body.get("ports", [])),
        rest=body,
    )


def _volume(text: str) -> tuple[str, str, bool]:
    source, target, *options = text.split(":")
    return source, target, options == ["ro"]
