"""How long the API may take to end."""

from __future__ import annotations

from taskqueue.api.main import shutdown_timeout_s
from taskqueue.config.settings import ApiSettings


def test_a_drain_outlasts_a_request_that_takes_each_of_its_deadlines() -> None:
    settings = ApiSettings.model_validate(
        {
            "redis": {"addresses": ["127.0.0.1:1"]},
            "queue": {"url": "amqp://guest:guest@127.0.0.1:1/"},
            "api": {"request_deadline": "4s"},
        }
    )

    assert 12 < shutdown_timeout_s(settings) < 16
