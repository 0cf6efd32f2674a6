"""What only the management API of RabbitMQ shows: arguments, bindings, policies, nodes. Nothing is changed there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import httpx

from taskqueue.broker.names import DELAY_EXCHANGE, DELAYED_QUEUE, EXCHANGE, QUEUES
from taskqueue.core.doctor_broker import ManagementFacts, NodeSeen, QueueSeen
from taskqueue.errors import ConfigError, UnreachableError

#: seconds for all that is asked at first
_WITHIN: Final = 5.0
#: seconds until a queue's numbers are new ones (rabbitmq.com, collect_statistics_interval), and for the second look
_LOOK_AGAIN_AFTER: Final = 5.2
_LOOK_AGAIN_WITHIN: Final = 1.5

#: bytes of one answer; five queues, twelve bindings and some nodes are a hundredth of it
_LONGEST_ANSWER: Final = 4 * 1024 * 1024

_ALARMS: Final[Mapping[str, str]] = {"mem_alarm": "memory", "disk_free_alarm": "disk"}


async def ask_management(url: str, amqp_url: str) -> ManagementFacts:
    """Return what the management API at `url` shows of the virtual host of `amqp_url`.

    The user is that of `url`, or else of `amqp_url`. Where messages are on their way out of the delayed queue, it is
    looked at again after five seconds; takes twelve at most. Raises UnreachableError where it does not answer as it
    should, and ConfigError for a `url` that is none.
    """
    base, login = management_place(url), _login(url, amqp_url)
    vhost = quote(unquote(urlsplit(amqp_url).path[1:]) or "/", safe="")
    async with httpx.AsyncClient(base_url=base, auth=login, timeout=_WITHIN, trust_env=False) as client:
        try:
            async with asyncio.timeout(_WITHIN):
                facts = await _ask(client, base, vhost)
            return await _look_again(client, facts, vhost)
        except TimeoutError:
            raise UnreachableError(f"{base}: no complete answer within {_WITHIN:g} s") from None
        except httpx.HTTPStatusError as error:
            raise UnreachableError(f"{base}: {_refusal(error.response.status_code)}") from None
        except httpx.HTTPError as error:
            raise UnreachableError(f"{base}: {str(error) or type(error).__name__}") from None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise UnreachableError(f"{base}: its answers are not those of RabbitMQ's management API") from None


def management_place(url: str) -> str:
    """Return `url` without user and password. Raises ConfigError where it is none, with no part of it in the text."""
    wrong = ConfigError("--management: not a URL; write http://HOST:15672, or user and password before the host")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in {"http", "https"} or not host:
        raise wrong
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}:{port or (443 if parts.scheme == 'https' else 15672)}{parts.path.rstrip('/')}"


def _login(url: str, amqp_url: str) -> tuple[str, str]:
    own = urlsplit(url)
    parts = own if own.username else urlsplit(amqp_url)
    return unquote(parts.username or "guest"), unquote(parts.password or "guest")


async def _ask(client: httpx.AsyncClient, base: str, vhost: str) -> ManagementFacts:
    queues = {}
    for name in QUEUES:
        found = await _get(client, f"/api/queues/{vhost}/{name}", missing={})
        if found:
            queues[name] = _queue(name, found)
    bindings = [
        (exchange, str(found["destination"]), str(found["routing_key"]))
        for exchange in (EXCHANGE, DELAY_EXCHANGE)
        for found in await _get(client, f"/api/exchanges/{vhost}/{exchange}/bindings/source", missing=[])
    ]
    return ManagementFacts(place=base, queues=queues, bindings=frozenset(bindings), nodes=await _nodes(client))


async def _look_again(client: httpx.AsyncClient, facts: ManagementFacts, vhost: str) -> ManagementFacts:
    """Return the facts with what of the delayed queue's undelivered messages is undelivered still."""
    seen = facts.queues.get(DELAYED_QUEUE)
    if seen is None or not seen.undelivered:
        return facts
    await asyncio.sleep(_LOOK_AGAIN_AFTER)
    try:
        async with asyncio.timeout(_LOOK_AGAIN_WITHIN):
            found = await _get(client, f"/api/queues/{vhost}/{DELAYED_QUEUE}", missing={})
    except TimeoutError:
        return facts
    still = min(seen.undelivered, _queue(DELAYED_QUEUE, found).undelivered or 0)
    return replace(facts, queues={**facts.queues, DELAYED_QUEUE: replace(seen, undelivered=still)})


async def _get(client: httpx.AsyncClient, path: str, *, missing: Any) -> Any:
    """Return what is there, `missing` for 404. Raises httpx.HTTPError, ValueError."""
    async with client.stream("GET", path) as response:
        if response.status_code == httpx.codes.NOT_FOUND:
            return missing
        response.raise_for_status()
        content = b""
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > _LONGEST_ANSWER:
                raise ValueError("too long")
    return json.loads(content)


async def _nodes(client: httpx.AsyncClient) -> tuple[NodeSeen, ...] | None:
    try:
        found = await _get(client, "/api/nodes?columns=name,running,mem_alarm,disk_free_alarm", missing=None)
    except httpx.HTTPStatusError:
        return None  # the user may see queues without the tag monitoring, but no nodes
    return None if found is None else tuple(_node(node) for node in found)


def _node(node: Mapping[str, Any]) -> NodeSeen:
    alarms = tuple(name for key, name in _ALARMS.items() if node.get(key) is True)
    return NodeSeen(name=str(node["name"]), running=node.get("running") is True, alarms=alarms)


def _queue(name: str, found: Mapping[str, Any]) -> QueueSeen:
    undelivered, definition = found.get("messages_dlx"), found.get("effective_policy_definition")
    return QueueSeen(
        name=name,
        policies=_names(found, ("policy", "operator_policy")),
        # An empty one is a list in some versions.
        definition=definition if isinstance(definition, dict) else {},
        undelivered=undelivered if isinstance(undelivered, int) else None,
    )


def _names(found: Mapping[str, Any], kinds: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(found[kind]) for kind in kinds if found.get(kind))


def _refusal(status: int) -> str:
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return f"answered {status}: the user needs the tag monitoring and a right on the virtual host"
    return f"answered {status}"
