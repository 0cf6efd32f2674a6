"""What both clients are made with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from task_scheduler._exchange import Answer, Request, visible

VERSION = "0.1.0"

#: bytes of the longest answer that is read
MAX_ANSWER = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the API is, and how long anything may take. Raises ValueError for what cannot be used.

    `timeout_s` is for one try, from connecting to the last byte of its answer, `connect_timeout_s` for connecting.
    """

    base_url: str
    api_key: str = field(repr=False)
    timeout_s: float
    connect_timeout_s: float
    max_tries: int

    def __post_init__(self) -> None:
        visible("api_key", self.api_key)
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("base_url must be such as https://api.example.com or https://example.com/prefix")
        if parts.username is not None or parts.password is not None:
            raise ValueError("base_url must not hold a user or password; give the key as api_key")
        if not (self.timeout_s > 0 and self.connect_timeout_s > 0 and self.max_tries >= 1):
            raise ValueError("timeout_s and connect_timeout_s must be more than 0, max_tries at least 1")
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

    def timeouts(self) -> httpx.Timeout:
        """Return what bounds each step of a try."""
        return httpx.Timeout(self.timeout_s, connect=min(self.connect_timeout_s, self.timeout_s))

    def changed(self, timeout_s: float | None, connect_timeout_s: float | None, max_tries: int | None) -> Settings:
        """Return the same settings but for those that are not None."""
        return replace(
            self,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            connect_timeout_s=self.connect_timeout_s if connect_timeout_s is None else connect_timeout_s,
            max_tries=self.max_tries if max_tries is None else max_tries,
        )

    def proxy(self) -> str | None:
        """Return the proxy that the environment names for the API (HTTPS_PROXY, NO_PROXY and their like)."""
        parts = urlsplit(self.base_url)
        if proxy_bypass(parts.hostname or ""):
            return None
        proxies: Mapping[str, str] = getproxies()
        return proxies.get(parts.scheme) or proxies.get("all")


def as_method(build: Callable[..., object]) -> inspect.Signature:
    """Return the signature of the method that takes what `build` takes, as `help` shows it."""
    signature = inspect.signature(build)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return signature.replace(parameters=[this, *signature.parameters.values()], return_annotation=signature.empty)
