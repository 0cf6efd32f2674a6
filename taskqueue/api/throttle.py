"""How often an address may come with a token that does not hold: a bucket for each, in the memory of this process."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network

#: addresses that are remembered; beyond that the one that was quiet for longest is forgotten
MOST_ADDRESSES = 10_000

_MINUTE_S = 60.0

#: whoever has one IPv6 address has all of its network
_IPV6_PREFIX = 64


class FailureThrottle:
    """`per_minute` failures at once, and as many again in each minute; instants are seconds of a monotonic clock."""

    def __init__(self, per_minute: int) -> None:
        self._burst = float(per_minute)
        self._refill_per_s = per_minute / _MINUTE_S
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str, now_s: float) -> float:
        """Let `address` try once, and return 0; or return the seconds after which it may try again."""
        level = self._level(address, now_s)
        if level < 1:
            return (1 - level) / self._refill_per_s
        self._put(address, level - 1, now_s)
        return 0.0

    def give_back(self, address: str, now_s: float) -> None:
        """The try of `address` was no failure."""
        self._put(address, min(self._burst, self._level(address, now_s) + 1), now_s)

    def _level(self, address: str, now_s: float) -> float:
        level, at = self._buckets.get(address, (self._burst, now_s))
        return min(self._burst, level + (now_s - at) * self._refill_per_s)

    def _put(self, address: str, level: float, now_s: float) -> None:
        if level >= self._burst:
            self._buckets.pop(address, None)
            return
        self._buckets[address] = (level, now_s)
        self._buckets.move_to_end(address)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)


def throttled_address(host: str) -> str:
    """Return what the failures of the client `host` are counted under: its address, or its network for IPv6."""
    try:
        address = ip_address(host)
    except ValueError:
        return host  # a test client or a Unix socket
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), _IPV6_PREFIX), strict=False))
