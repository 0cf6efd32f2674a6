"""What the tests of the Python SDK share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.threaded_server import Server, threaded_server


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of this test's own."""
    with threaded_server() as server:
        yield server
