"""What every test may ask for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from browser import Browser
from hypothesis import settings

# No limit on an example's time: on shared cores it says nothing.
settings.register_profile("shared-cores", deadline=None)
settings.load_profile("shared-cores")

# Before torch is imported: threads that spin while they wait make tests crawl when the cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", default=None, help="folder with the real public logs (else $RECSYS_DATA, else ../shared/data)")


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """The folder with the real public logs; skips where it is absent."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(request.config.getoption("--data") or os.environ.get("RECSYS_DATA") or beside)
    if not (folder / "kuairand_pure_0425_0508.parquet").exists():
        pytest.skip(f"the real public logs are not in {folder}; name their folder with --data or RECSYS_DATA")
    return folder


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder with published and high-precision reference values, beside the project; skips where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "reference"
    if not folder.is_dir():
        pytest.skip(f"the reference values are not in {folder}")
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A real browser; skips where there is none."""
    program = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser ({', '.join(_BROWSERS)}); on Debian: apt-get install chromium")
    return Browser(program, tmp_path_factory.mktemp("browser"))
