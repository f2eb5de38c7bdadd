"""Which Chromium the page tests drive: the system's, else Playwright's own, else none.

python -m tests.browser      prints its path; exit status 1 when there is none
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path() -> Path | None:
    """The path of the browser's program, or None."""
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return own if own.exists() else None


if __name__ == "__main__":
    path = chromium_path()
    print(path or "no Chromium found: apt-get install chromium, or python -m playwright install chromium")
    sys.exit(path is None)
