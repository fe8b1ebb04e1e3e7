"""Headless Chromium against a real server; skipped, with the reason, where there is no Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections

from tests.access import person
from tests.patience import SECONDS
from tests.web import session_cookie, web_server

CANDIDATES = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Of the module, not the session: its event loop would stand in the way of asynchronous tests."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next((found for name in CANDIDATES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium found")
    # Playwright's loop runs in this thread, and Django would take that for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_api.sync_playwright() as playwright:
        sync_api.expect.set_options(timeout=SECONDS * 1000)
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, timeout=SECONDS * 1000)
        yield browser
        browser.close()
        connections.close_all()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="module")
def server(django_db_setup) -> Iterator[str]:
    with web_server() as url:
        yield url


Open = Callable[..., Any]
# What Chromium itself says when a server goes away: of the socket, and of whatever was being loaded just then.
LOST_CONNECTION = ("WebSocket", "net::ERR_")


@pytest.fixture
def open_page(chromium: Any, server: str, committed_db: None) -> Iterator[Open]:
    """open_page(path, user=..., width=..., scheme=...): a page of its own browser profile.

    Whatever a page reports as an error, or is refused by its own security policy, fails the test. What a test provokes
    it puts into `open_page.forgiven` as a part of the text, before or after it happens.
    """
    contexts, complaints = [], []

    ours = server

    def open_(
        path: str,
        user: User | None = None,
        *,
        server: str = ours,
        width: int = 1440,
        height: int = 900,
        **options: Any,
    ) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, timezone_id="Europe/Berlin", **options
        )
        contexts.append(context)
        if user is not None:
            context.add_cookies([{"name": "sessionid", "value": session_cookie(user), "url": server}])
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server + path)
        return page

    open_.complaints = complaints  # type: ignore[attr-defined]
    forgiven: list[str] = []
    open_.forgiven = forgiven  # type: ignore[attr-defined]
    yield open_
    for context in contexts:
        context.close()
    assert [text for text in complaints if not any(part in text for part in forgiven)] == []


@pytest.fixture
def operator(committed_db: None) -> User:
    return person("operator", username="m.ito")
