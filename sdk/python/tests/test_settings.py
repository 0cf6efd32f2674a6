from __future__ import annotations

import pytest

from task_scheduler import AsyncTaskSchedulerClient, TaskSchedulerClient
from task_scheduler._settings import Settings

PASSWORD = "canary-password"


def settings(base_url: str = "http://api.example.com", timeout_s: float = 30.0) -> Settings:
    return Settings(base_url=base_url, api_key="k", timeout_s=timeout_s, connect_timeout_s=10.0, max_tries=3)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_PROXY".upper(), raising=False)


@pytest.mark.parametrize(
    "base_url",
    [
        *("http://h:99999", "http://h:0", "http://h:abc", "http://exa mple.com", "http://a..b", f"http://{'a' * 64}"),
        *("http://[::1", "http://", "http://h?x=1", "http://h#x", f"http://u:{PASSWORD}@h", "ftp://h", "h:80", ""),
    ],
)
@pytest.mark.parametrize("kind", [TaskSchedulerClient, AsyncTaskSchedulerClient])
def test_an_address_to_which_nothing_can_be_sent_is_refused_at_once(
    kind: type[TaskSchedulerClient | AsyncTaskSchedulerClient], base_url: str
) -> None:
    with pytest.raises(ValueError, match="base_url must be such as") as caught:
        kind(base_url, "k")

    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "base_url", ["http://task_api:8080", "https://[::1]:8443/x", "http://bücher.example", "http://h."]
)
def test_an_address_of_any_kind_of_host_is_one(base_url: str) -> None:
    assert settings(base_url).base_url == base_url


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e11])
def test_a_time_out_that_no_socket_could_have_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout_s and connect_timeout_s must be more than 0, and 86400 at most"):
        settings(timeout_s=seconds)
    with pytest.raises(ValueError, match="and 86400 at most"):
        TaskSchedulerClient("http://h", "k", connect_timeout_s=seconds)


def test_no_try_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tries must be at least 1"):
        TaskSchedulerClient("http://h", "k", max_tries=0)


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("proxy.example.com:3128", "http://proxy.example.com:3128"),
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("https://u:p@proxy.example.com", "https://u:p@proxy.example.com"),
    ],
)
def test_a_proxy_may_be_named_without_its_scheme(given: str, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", given)

    assert settings().proxy() == used


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h", "ftp"])
def test_a_proxy_of_another_kind_is_refused_by_the_name_of_its_variable(
    scheme: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"{scheme}://u:{PASSWORD}@proxy.example.com:1080")

    for kind in (TaskSchedulerClient, AsyncTaskSchedulerClient):
        with pytest.raises(ValueError, match=f"{variable.upper()} of the environment is no proxy") as caught:
            kind("http://api.example.com", "k")
        assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "no_proxy"),
    [
        ("http://api.example.com:8080/x", "api.example.com:8080"),
        ("http://api.example.com:8080", "api.example.com"),
        ("http://api.example.com", ".example.com"),
        ("http://[::1]:8080", "::1"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_a_host_is_kept_from_the_proxy_with_its_port_and_without(
    base_url: str, no_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("no_proxy", no_proxy)

    assert settings(base_url).proxy() is None


def test_another_port_is_not_kept_from_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("no_proxy", "api.example.com:8081")

    assert settings("http://api.example.com:8080").proxy() == "http://proxy.example.com:3128"
