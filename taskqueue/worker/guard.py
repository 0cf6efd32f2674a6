"""The guard at the dial: which hosts and addresses a call may reach (core/addresses), and for which tasks it holds.

It stands where connections are made, since only there it is known which address a name has: what is judged is what is
dialled, and nothing is looked up in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from taskqueue.config.sections import GuardSettings
from taskqueue.core.addresses import AddressPolicy, name_verdict, parse_port_range, parse_rule, verdict


class BlockedAddressError(Exception):
    """The call may not go there. The text reads on after the host and names the remedy, and no address."""


class Guard:
    """Judges by one policy. It is part of the identity of an origin, so each one has connections of its own."""

    __slots__ = ("_policy",)

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy

    def check_host(self, host: str, port: int) -> None:
        """Raise BlockedAddressError for what need not be looked up to be refused."""
        _raise(name_verdict(host, port, self._policy))

    def check_addresses(self, host: str, addresses: Iterable[Sequence[Any]]) -> None:
        """Raise BlockedAddressError unless `host` may be called at all `addresses`, as sockets have them.

        A name with one address that is blocked is not called at the others either: who mixes them means harm.
        """
        for literal, port, *_ in addresses:
            try:
                address = ip_address(literal)
            except ValueError:
                raise BlockedAddressError("has an address that cannot be judged") from None
            _raise(verdict(address, port, self._policy, host=host))


def _raise(reason: str | None) -> None:
    if reason is not None:
        raise BlockedAddressError(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Who judges the calls of tasks made through the API, and those of tasks.yaml; None: nobody."""

    api: Guard = field(default_factory=lambda: Guard(AddressPolicy()))
    file: Guard | None = None


def guards_of(settings: GuardSettings) -> Guards:
    """Return the guards that worker.yaml asks for."""
    deny = tuple(parse_rule(text) for text in settings.deny)
    policy = AddressPolicy(
        allow=tuple(parse_rule(text) for text in settings.allow),
        deny=deny,
        ports=tuple(parse_port_range(value) for value in settings.ports),
    )
    strict = Guard(policy)
    if settings.file_tasks:
        return Guards(api=strict, file=strict)
    return Guards(api=strict, file=Guard(AddressPolicy(deny=deny, strict=False)) if deny else None)
