"""The REST API for verbs that talk to it: where it is, the token, bounded waits, its problems as our errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
import typer

from taskqueue import __version__
from taskqueue.cli.api_problem import error_of, not_the_api, retry_after_s, worth_repeating
from taskqueue.cli.api_request import KEY_HEADER, Once, Request, doubt_of
from taskqueue.cli.terminal import printable
from taskqueue.config.settings import process_environment
from taskqueue.errors import ConfigError, UnauthorizedError, UnreachableError

_T = TypeVar("_T")

Body = dict[str, Any]

#: what all endpoints begin with; an address may end in it, as the one in docs/api.md does
_PREFIX = "/api/v1"

#: seconds for connecting, and for the whole of one answer, so that a verb ends within ten
_CONNECT_WITHIN = 4.0
_ANSWER_WITHIN = 9.5

#: seconds after which a POST that may be repeated is: short, for all of it is to end in time
_REPEATED_AFTER = (0.5, 2.0)

#: seconds that all waits for a quota may take together, from one answer to the next
_QUOTA_PATIENCE = 60.0

#: what the library reads by itself
_FROM_ENVIRONMENT = "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE or SSL_CERT_DIR"

#: rows of one page: the most that every API gives
_PAGE = 100

#: a token is short; a larger file is the wrong one
_MAX_TOKEN_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAccess:
    """Where the API is, without a slash at the end, and the token that opens it."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """The options of verbs that talk to the API (cli/option_groups.py)."""

    api: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="TASKQUEUE_API_URL",
            help="Where the API is, such as http://localhost:8000.",
            show_default=False,
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="TASKQUEUE_TOKEN_FILE",
            help="Holds the token; TASKQUEUE_TOKEN does when left out.",
            show_default=False,
        ),
    ] = None

    def access(self) -> ApiAccess:
        """Return what the options and the environment say; a token that goes out unencrypted is warned about.

        Raises ConfigError for a missing or unusable address, UnauthorizedError without a usable token.
        """
        if not self.api:
            remedy = "name the API, as in --api http://localhost:8000 or TASKQUEUE_API_URL"
            raise ConfigError(f"--api: is missing; {remedy}")
        url = _checked_url(self.api)
        token = _token(self.token_file)
        parts = urlsplit(url)
        if parts.scheme == "http" and not _is_local(parts.hostname or ""):
            typer.echo(f"warning: {printable(url)}: the token goes out unencrypted; use https", err=True)
        return ApiAccess(url=url, token=token)


def with_api(access: ApiAccess, ask: Callable[[ApiClient], Awaitable[_T]]) -> _T:
    """Run `ask` with a client and return its answer. Raises what a client does."""

    async def main() -> _T:
        async with api_client(access) as client:
            return await ask(client)

    return asyncio.run(main())


@asynccontextmanager
async def api_client(access: ApiAccess) -> AsyncIterator[ApiClient]:
    """Open a client. Raises ConfigError for a proxy or certificates of the environment that cannot be used."""
    async with _http_client(access) as http:
        yield ApiClient(access.url, http)


def _http_client(access: ApiAccess) -> httpx.AsyncClient:
    try:
        return httpx.AsyncClient(
            headers={"Authorization": f"Bearer {access.token}", "User-Agent": f"taskqueue-cli/{__version__}"},
            timeout=httpx.Timeout(_ANSWER_WITHIN, connect=_CONNECT_WITHIN),
            # A proxy of the environment does not lead to this host.
            trust_env=not _is_local(urlsplit(access.url).hostname or ""),
        )
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        # The text of the error may hold the proxy's password.
        remedy = "use a proxy such as http://proxy.example.com:3128 and readable PEM certificates, or unset them"
        raise ConfigError(f"{_FROM_ENVIRONMENT}: cannot be used ({type(error).__name__}); {remedy}") from None


def path_of(*parts: str) -> str:
    """Return a path of the API from its parts, of which none can reach into another.

    Raises ConfigError for what no id is, for it would lead elsewhere.
    """
    if not {"", ".", ".."}.isdisjoint(parts):
        raise ConfigError("ID: empty, or dots alone; use an id as `taskqueue task list` or `exec list` shows it")
    return "".join(f"/{quote(part, safe='', errors='surrogateescape')}" for part in parts)


class ApiClient:
    """Each method returns the body of the answer.

    Raises UnreachableError when none comes in time or another server answers, and for a problem of the API the error
    that cli/api_problem.py says. A quota that is used up is waited for, a minute in all from one answer to the next.
    """

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url = url
        self._http = http
        self._patience_s = _QUOTA_PATIENCE

    async def get(self, path: str, query: Mapping[str, object] | None = None) -> Body:
        """GET it; a value None of `query` is left out, a list repeats its name."""
        return self._body(await self._ask(_request("GET", path, query=query)))

    async def get_version(self, path: str) -> tuple[Body, str]:
        """GET it; return its ETag too, for `patch`, which is empty where there is none."""
        answer = await self._ask(_request("GET", path))
        return self._body(answer), answer.headers.get("etag", "")

    async def post(self, path: str, body: Mapping[str, object] | None = None, once: Once | None = None) -> Body:
        """POST it under a key, that of `once` or a new one, so that it may be sent again where no answer came."""
        once = once or Once()
        request = _request("POST", path, body=body, headers={KEY_HEADER: once.key})
        return self._body(await self._ask(replace(request, doubt=once.doubt)))

    async def patch(self, path: str, body: Mapping[str, object], version: str = "") -> Body:
        """PATCH it, where `version` is given only that version; RefusedError tells that there is another by now."""
        headers = {"If-Match": version} if version else {}
        return self._body(await self._ask(_request("PATCH", path, body=body, headers=headers)))

    async def delete(self, path: str) -> None:
        """DELETE it."""
        await self._ask(_request("DELETE", path))

    async def rows(
        self, path: str, name: str, query: Mapping[str, object], limit: int | None
    ) -> AsyncIterator[tuple[Body, int]]:
        """Yield (row, total) of the list `name` at `path`, page by page; the first `limit`, None for all of them."""
        offset = 0
        while limit is None or offset < limit:
            size = _PAGE if limit is None else min(_PAGE, limit - offset)
            page = await self.get(path, {**query, "limit": size, "offset": offset})
            for row in page[name]:
                yield row, page["total"]
            offset += len(page[name])
            if not page[name] or offset >= page["total"]:
                return

    async def _ask(self, request: Request) -> httpx.Response:
        """Return the answer that is a success."""
        while True:
            answer = await self._answer(request)
            wait_s = retry_after_s(answer)
            if wait_s is None or wait_s > self._patience_s:
                break
            self._patience_s -= wait_s
            await asyncio.sleep(wait_s)
        if not answer.is_success:
            raise error_of(answer, self._url, request.doubt)
        self._patience_s = _QUOTA_PATIENCE
        return answer

    async def _answer(self, request: Request) -> httpx.Response:
        """Return the answer, the last one of what is repeated; all tries together have the time of one."""
        last: httpx.Response | UnreachableError = self._away(f"no answer in time{request.doubt}")
        try:
            # The library bounds each read alone, and an answer may trickle in.
            async with asyncio.timeout(_ANSWER_WITHIN):
                for pause_s in (0.0, *(_REPEATED_AFTER if request.repeatable else ())):
                    await asyncio.sleep(pause_s)
                    last = await self._try(request, in_doubt=pause_s > 0)
                    if isinstance(last, httpx.Response) and not worth_repeating(last):
                        break
        except TimeoutError:
            pass  # What came last is told, or that nothing came.
        except asyncio.CancelledError:
            if request.doubt:
                typer.echo(f"no answer yet{request.doubt}", err=True)
            raise
        if isinstance(last, UnreachableError):
            raise last
        return last

    async def _try(self, request: Request, *, in_doubt: bool) -> httpx.Response | UnreachableError:
        """Return the answer, or the error of a request that went out; one that did not is raised.

        `in_doubt` tells that it went out before.
        """
        url = self._url + _PREFIX + request.target
        try:
            return await self._http.request(request.method, url, content=request.content, headers=request.headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL, UnicodeError) as error:
            doubt = request.doubt if in_doubt else ""
            raise self._away(f"{str(error) or 'no connection in time'}{doubt}") from None
        except httpx.TimeoutException:
            return self._away(f"no answer in time{request.doubt}")
        except httpx.HTTPError as error:
            return self._away(f"{str(error) or type(error).__name__}{request.doubt}")

    def _away(self, problem: str) -> UnreachableError:
        remedy = "does the API run there? The address is --api, or TASKQUEUE_API_URL"
        return UnreachableError(printable(f"{self._url}: {problem}; {remedy}"))

    def _body(self, answer: httpx.Response) -> Body:
        if not answer.content:
            return {}
        try:
            body = answer.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise not_the_api(answer, self._url)
        return body


def _request(
    method: str,
    path: str,
    *,
    query: Mapping[str, object] | None = None,
    body: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Request:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return Request(
        method=method,
        target=f"{path}?{urlencode(given, doseq=True, errors='surrogateescape')}" if given else path,
        # In ASCII: half a character in an argument is refused by the API and not by the encoder.
        content=None if body is None else json.dumps(body).encode(),
        headers={**(headers or {}), **({} if body is None else {"Content-Type": "application/json"})},
        doubt=doubt_of(method),
    )


def _checked_url(api: str) -> str:
    try:
        parts = urlsplit(api)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not api.isprintable() or " " in api or parts.query or parts.fragment:
        raise ConfigError("--api: not an address; use one such as http://localhost:8000 or https://api.example.com")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("--api: holds a user or password; leave them out, the token is in TASKQUEUE_TOKEN")
    return api.rstrip("/").removesuffix(_PREFIX)


def _token(file: Path | None) -> str:
    token = process_environment().get("TASKQUEUE_TOKEN", "") if file is None else _read_token(file)
    token = token.strip()
    if not token:
        place = "no token" if file is None else "--token-file: its file is empty"
        remedy = "put one into TASKQUEUE_TOKEN or a --token-file; `taskqueue token create` makes one"
        raise UnauthorizedError(f"{place}; {remedy}")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UnauthorizedError("the token has characters that no token has; is it the right file or variable?")
    return token


def _read_token(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_TOKEN_BYTES).decode()
    except OSError as error:
        raise ConfigError(f"--token-file: cannot be read: {error.strerror}; check path and permissions") from None
    except ValueError:
        raise ConfigError("--token-file: not the path of a UTF-8 text file; check the path") from None


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
