"""A browser for each worker, and a tab for each test that fails where its page misbehaved."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Chromium, Tab, found

_LOCAL = ("file:", "data:", "about:")


@pytest.fixture(autouse=True)
def _as_users_do(unchecked: None) -> None:
    """Write pages without checks at every call: tests/report makes them, and they take long."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Start a browser, or skip where there is none."""
    binary = found()
    if binary is None:
        pytest.skip("no Chromium: install Debian's package chromium, or set CHROMIUM to a binary")
    if not hasattr(os, "posix_spawn"):
        pytest.skip("Chromium's debugging pipe needs a POSIX system")
    browser = Chromium(binary)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def only_tab(chromium: Chromium) -> Tab:
    """Open the tab that all tests of a worker use one after the other: a new one costs 0.2 s."""
    return chromium.tab()


@pytest.fixture
def free_tab(only_tab: Tab) -> Tab:
    """Return an empty tab whose page may do as it likes."""
    only_tab.clear()
    return only_tab


@pytest.fixture
def tab(free_tab: Tab) -> Iterator[Tab]:
    """Open a tab; at the end its page has fetched nothing, run nothing and said nothing."""
    yield free_tab
    free_tab.js("0")  # what was still on its way has arrived by now
    assert free_tab.complaints == []
    assert [url for url in free_tab.requests if not url.startswith(_LOCAL)] == []
    pages = [url for url in free_tab.requests if url.startswith("file:")]
    assert len(set(pages)) <= free_tab.opened, f"a page asked for another file: {pages}"
