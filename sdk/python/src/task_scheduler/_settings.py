"""What both clients are made with."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from task_scheduler._exchange import Answer, Request, visible

VERSION = "0.1.0"

#: bytes of the longest answer that is read
MAX_ANSWER = 64 * 1024 * 1024

#: calls that one client may have under way, and connections that it keeps for those that follow
MAX_CONNECTIONS = 100
MAX_IDLE_CONNECTIONS = 20

#: seconds of the longest time-out: what is more, sockets do not take everywhere
_MAX_TIMEOUT_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the API is, and how long anything may take. Raises ValueError for what cannot be used.

    `timeout_s` is for one call, over all its tries and pauses, `connect_timeout_s` for each connecting.
    """

    base_url: str
    api_key: str = field(repr=False)
    timeout_s: float
    connect_timeout_s: float
    max_tries: int

    def __post_init__(self) -> None:
        visible("api_key", self.api_key)
        if not _is_base_url(self.base_url):
            raise ValueError(
                "base_url must be such as https://api.example.com or https://example.com/prefix, and without a user "
                "or password: give the key as api_key"
            )
        bounds = (self.timeout_s, self.connect_timeout_s)
        if not all(math.isfinite(each) and 0 < each <= _MAX_TIMEOUT_S for each in bounds):
            raise ValueError("timeout_s and connect_timeout_s must be more than 0, and 86400 at most")
        if self.max_tries < 1:
            raise ValueError("max_tries must be at least 1")
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))

    def url(self, request: Request[object]) -> str:
        """Return where a request goes."""
        return self.base_url + request.path

    def headers(self, request: Request[object]) -> dict[str, str]:
        """Return all headers of a request."""
        content = {} if request.body is None else {"content-type": "application/json"}
        return {
            "authorization": f"Bearer {self.api_key}",
            "accept": "application/json",
            "user-agent": f"task-scheduler-sdk-python/{VERSION}",
            **content,
            **request.headers,
        }

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return an answer; one that says no goes into messages, so without the key if it has that from us."""
        said = body if 200 <= status < 300 else body.replace(self.api_key.encode(), b"***")
        return Answer(status=status, headers=headers, body=said)

    def redacted(self, text: str) -> str:
        """Return a text of another library without the key, which a server may have sent back."""
        return text.replace(self.api_key, "***")

    def timeouts(self, left_s: float) -> httpx.Timeout:
        """Return what bounds each step of a try that has so many seconds left."""
        return httpx.Timeout(left_s, connect=min(self.connect_timeout_s, left_s))

    def changed(self, timeout_s: float | None, connect_timeout_s: float | None, max_tries: int | None) -> Settings:
        """Return the same settings but for those that are not None."""
        return replace(
            self,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            connect_timeout_s=self.connect_timeout_s if connect_timeout_s is None else connect_timeout_s,
            max_tries=self.max_tries if max_tries is None else max_tries,
        )

    def proxy(self) -> str | None:
        """Return the proxy that the environment names for the API (HTTPS_PROXY, NO_PROXY and their like).

        Raises ValueError, which names the variable and does not show it, for one that cannot be used.
        """
        parts = urlsplit(self.base_url)
        # NO_PROXY may name the host alone or with its port; only in the latter has an IPv6 address its brackets.
        if any(proxy_bypass(host) for host in (parts.netloc, parts.hostname or "")):
            return None
        proxies: Mapping[str, str] = getproxies()
        found = next((name for name in (parts.scheme, "all") if proxies.get(name)), None)
        if found is None:
            return None
        proxy = proxies[found] if "://" in proxies[found] else f"http://{proxies[found]}"
        if not _is_address(proxy):
            raise ValueError(
                f"{found.upper()}_PROXY of the environment is no proxy that can be used: set it to an address such as "
                "http://proxy.example.com:3128, take it out, or put the host of base_url into NO_PROXY"
            )
        return proxy


def _is_base_url(url: str) -> bool:
    return _is_address(url) and urlsplit(url)[3:] == ("", "") and "@" not in urlsplit(url).netloc


def _is_address(url: str) -> bool:
    """Return whether an HTTP request can be sent there."""
    try:
        parts = urlsplit(url)
        # Reading the port checks it; a name is looked up in this encoding.
        usable = parts.port != 0 and " " not in url and bool((parts.hostname or "").encode("idna"))
        return usable and httpx.URL(url).scheme in {"http", "https"}
    except (ValueError, httpx.InvalidURL):
        return False


def as_method(build: Callable[..., object]) -> inspect.Signature:
    """Return the signature of the method that takes what `build` takes, as `help` shows it."""
    signature = inspect.signature(build)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return signature.replace(parameters=[this, *signature.parameters.values()], return_annotation=signature.empty)
