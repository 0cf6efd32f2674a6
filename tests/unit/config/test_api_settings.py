from __future__ import annotations

from datetime import timedelta

import pytest

from taskqueue.assets import asset_dir
from taskqueue.config.settings import ApiSettings, api_settings_of, load_api_settings
from taskqueue.config.yaml_source import parse_document
from taskqueue.errors import ConfigError


def api_settings(text: str, **environ: str) -> ApiSettings:
    return api_settings_of(parse_document(text, "api.yaml"), environ)


def problem_of(text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        api_settings(text, **environ)
    (problem,) = caught.value.problems
    return problem


def test_the_shipped_file_loads_and_has_a_target_for_every_task() -> None:
    settings = load_api_settings(asset_dir("config") / "api.yaml", {})

    assert "{task_name}" in settings.api.default_target
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 8000)  # noqa: S104 - what the file says


def test_an_empty_file_has_the_defaults() -> None:
    settings = api_settings("{}")

    assert settings.server.port == 8000
    assert (settings.api.max_body_bytes, settings.api.max_body_depth) == (1_048_576, 64)
    assert (settings.api.max_page, settings.api.max_bulk) == (100, 1000)
    assert settings.api.request_deadline == timedelta(seconds=10)
    assert (settings.api.docs, settings.api.cors_origins, settings.api.default_target) == (True, (), "")
    assert settings.api.bootstrap_token.get_secret_value() == ""


@pytest.mark.parametrize(
    "target",
    [
        "",
        "http://localhost:9000/tasks/{task_name}",
        "https://jobs.example.com/run?name={task_name}",
        "https://jobs.example.com/run",
        "http://[::1]:80/{task_name}/{task_name}",
    ],
)
def test_a_template_of_a_url_is_a_default_target(target: str) -> None:
    assert api_settings(f"api: {{default_target: '{target}'}}").api.default_target == target


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("localhost/{task_name}", "not a URL template"),
        ("ftp://host/{task_name}", "not a URL template"),
        ("http:///{task_name}", "not a URL template"),
        ("http://host/{name}", "not a URL template"),
        ("http://host/{task_name", "not a URL template"),
        ("http://host:99999/", "not a URL template"),
        ("http://host/#{task_name}", "not a URL template"),
        ("http://{task_name}.example.com/", "has {task_name} in its host"),
    ],
)
def test_what_makes_no_url_is_refused_as_a_default_target(target: str, says: str) -> None:
    problem = problem_of(f"api: {{default_target: '{target}'}}")

    assert problem.startswith("api.yaml:1:")
    assert "api.default_target: " in problem
    assert says in problem


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("max_body_bytes: 10", "at least 1024"),
        ("max_body_depth: 1000", "at most 256"),
        ("max_page: 0", "at least 1"),
        ("max_bulk: 100000", "at most 10000"),
        ("request_deadline: 100ms", "use at least 1s"),
        ("request_deadline: 2m", "use at most 60s"),
        ("rate_limit: 0", "above 0"),
        ("rate_burst: 0", "at least 1"),
        ("docs: 1", "true or false"),
        ("cors_origins: [example.com]", "not an origin"),
        ("cors_origins: ['https://example.com/path']", "not an origin"),
        ("cors_origins: 'https://example.com'", "list"),
        ("ratelimit: 5", "did you mean 'rate_limit'?"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place_and_the_remedy(setting: str, says: str) -> None:
    problem = problem_of(f"api: {{{setting}}}")

    assert problem.startswith("api.yaml:1:")
    assert says in problem


def test_the_first_token_comes_from_the_environment_and_is_never_shown() -> None:
    settings = api_settings("{}", TASKQUEUE_API__BOOTSTRAP_TOKEN="canary-secret-0123456789abcdefghij")

    assert settings.api.bootstrap_token.get_secret_value() == "canary-secret-0123456789abcdefghij"
    assert "canary" not in repr(settings)


@pytest.mark.parametrize("token", ["canary-is-short", "canary" + 30 * " x", "canary" + 30 * "é"])
def test_a_first_token_that_is_short_or_fits_no_header_is_refused_without_repeating_it(token: str) -> None:
    problem = problem_of("{}", TASKQUEUE_API__BOOTSTRAP_TOKEN=token)

    assert "TASKQUEUE_API__BOOTSTRAP_TOKEN" in problem
    assert "canary" not in problem


def test_one_environment_serves_all_processes() -> None:
    settings = api_settings("{}", TASKQUEUE_WORKER__POOL_SIZE="3", TASKQUEUE_API__RATE_LIMIT="5")

    assert settings.api.rate_limit == 5
