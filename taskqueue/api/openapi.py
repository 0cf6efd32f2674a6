"""The OpenAPI document as a file, for the makers of clients; `python -m taskqueue.api.openapi` writes openapi.json."""

from __future__ import annotations

import json
from pathlib import Path

from taskqueue import __version__
from taskqueue.api.app import create_app
from taskqueue.api.main import Api
from taskqueue.config.settings import ApiSettings
from taskqueue.telemetry.events import Emitter
from taskqueue.telemetry.metrics import Metrics

#: at the root of a checkout
OPENAPI_FILE = Path(__file__).resolve().parents[2] / "openapi.json"


def openapi_text() -> str:
    """Return the text of openapi.json; it depends on the code alone, and nothing is connected to."""
    services = Api(ApiSettings(), Metrics(version=__version__), Emitter()).services
    return json.dumps(create_app(services).openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OPENAPI_FILE.write_text(openapi_text(), encoding="utf-8")
