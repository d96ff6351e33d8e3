"""What tests of evaluations share."""

from __future__ import annotations

import shutil

import pytest
from browser import Browser

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A real browser; skips where there is none."""
    program = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser ({', '.join(_BROWSERS)}); on Debian: apt-get install chromium")
    return Browser(program, tmp_path_factory.mktemp("browser"))
