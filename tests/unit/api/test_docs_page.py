from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest

from tests.support.api_app import api_bench


@pytest.fixture
async def page() -> httpx.Response:
    async with api_bench().client() as client:
        return await client.get("/docs")


def test_the_page_needs_nothing_from_anywhere_else(page: httpx.Response) -> None:
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r"(?:src|href)=\"(?!/openapi\.json)[^\"]*\"", page.text) == []
    assert not re.search(r"https?://", page.text)
    assert "@import" not in page.text


@pytest.mark.parametrize("kind", ["script", "style"])
def test_its_policy_lets_its_own_script_and_style_run_and_nothing_else(page: httpx.Response, kind: str) -> None:
    (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    rules = page.headers["content-security-policy"].split("; ")

    assert f"{kind}-src 'sha256-{digest}'" in rules
    assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(rules)


def test_it_puts_nothing_on_the_page_as_markup(page: httpx.Response) -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|style=", page.text)


async def test_the_document_behind_it_is_served_as_json() -> None:
    async with api_bench().client() as client:
        answer = await client.get("/openapi.json")

    assert (answer.status_code, answer.json()["info"]["title"]) == (200, "taskqueue")
