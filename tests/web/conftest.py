"""The pages in a real browser: a visitor that signs in, looks for faults on every page, and takes its picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from accounts.errors import ApplicationError
from marketplace.cast import Cast, cast_create
from marketplace.models import Listing
from marketplace.pipeline import Job, Stopwatch, securitize
from pooling.tapes import write_generated_tape

PASSWORD = "glass walls, open books"
WIDTH, HEIGHT = 1280, 900
LOANS, SCENARIOS = 300, 256
# What a visitor may be told by the browser without it being a fault: a form that was refused answers 422.
EXPECTED = "the server responded with a status of 422"


def screenshots() -> Path:
    """The folder of the pictures: GLASSPOOL_SCREENSHOTS, else within the tests' own data."""
    folder = Path(os.environ.get("GLASSPOOL_SCREENSHOTS") or settings.GLASSPOOL_DATA / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass
class Visitor:
    """A browser window. faults: console errors and warnings so far."""

    page: Any
    base: str
    faults: list[str] = field(default_factory=list)

    def sign_in(self, username: str) -> None:
        """By the form of the login page."""
        self.page.goto(f"{self.base}/login/")
        self.page.get_by_label("Username").fill(username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()

    def go(self, path: str) -> None:
        """Open an address of the site."""
        self.page.goto(f"{self.base}{path}")

    def press(self, name: str) -> None:
        """Click the link or button of this name."""
        self.page.get_by_role("link", name=name).or_(self.page.get_by_role("button", name=name)).first.click()

    def text(self) -> str:
        """What the page says."""
        return str(self.page.locator("main").inner_text())

    def shows(self, *phrases: str) -> None:
        """Fails naming the first phrase that the page does not say."""
        said = self.text()
        for phrase in phrases:
            assert phrase in said, f"{phrase!r} is not on {self.page.url}:\n{said}"

    def check(self, picture: str = "") -> None:
        """The page fits its width, is complete, and the browser has not complained; then take its picture."""
        wide = self.page.evaluate(
            "() => [...document.querySelectorAll('main *')].filter(e => !e.closest('svg'))"
            ".filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)"
            ".map(e => e.outerHTML.slice(0, 80))"
        )
        assert not wide, f"{self.page.url} overflows {WIDTH} pixels: {wide[:3]}"
        assert "{{" not in self.page.content(), f"an unrendered variable on {self.page.url}"
        if picture:
            self.page.screenshot(path=screenshots() / f"{picture}.png", full_page=True)
        assert not self.faults, f"{self.page.url}: {self.faults}"

    def drawn(self, charts: int) -> None:
        """Waits until this number of charts stands on the page."""
        self.page.wait_for_function(f"document.querySelectorAll('.plot .main-svg').length >= {charts}")


@pytest.fixture
def visit(browser: Any, live_server: Any) -> Iterator[Callable[..., Visitor]]:
    """visit(username, scripts=True): a new window of 1280 pixels, signed in unless username is empty."""
    contexts = []

    def opened(username: str = "", *, scripts: bool = True) -> Visitor:
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, java_script_enabled=scripts)
        contexts.append(context)
        visitor = Visitor(context.new_page(), live_server.url)

        def heard(message: Any) -> None:
            if message.type in ("error", "warning") and EXPECTED not in message.text:
                visitor.faults.append(message.text)

        visitor.page.on("console", heard)
        visitor.page.on("pageerror", lambda error: visitor.faults.append(str(error)))
        if username:
            visitor.sign_in(username)
        return visitor

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """A generated tape of 300 loans."""
    path = tmp_path / "meadow-2026-1.csv"
    write_generated_tape(path, LOANS, 5)
    return path


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """The demo parties."""
    return cast_create(password=PASSWORD)


def deal_made(cast: Cast, tape: Path, *, settle: bool, scenarios: int = SCENARIOS) -> Listing:
    """A listing made by the services everybody uses: with bids, settled or still open."""

    def silent(stage: str, done: int, total: int) -> None:
        """The test's reader does not wait for it."""

    try:
        job = Job(tape=tape, scenarios=scenarios, settle=settle)
        return securitize(job=job, cast=cast, progress=silent, watch=Stopwatch(), key="web")
    except ApplicationError as error:
        pytest.fail(f"the deal of the test could not be made: {error.message}")
