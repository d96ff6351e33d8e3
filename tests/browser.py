"""A real browser for tests of pages."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape
from pathlib import Path

_WRAPPER = """<!doctype html><body style="margin:0">
<iframe src="{page}" style="width:{width}px;height:1200px;border:0"></iframe><pre></pre><script>
onload = () => {{
  const view = document.querySelector("iframe").contentWindow, page = view.document;
  document.querySelector("pre").textContent = "found " + JSON.stringify({script}) + " end";
}};
</script>"""


class Browser:
    """Headless Chromium."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder

    def measure(self, page: Path, script: str, *, width: int = 1400, dark: bool = False) -> dict:
        """What the JavaScript expression `script` finds in `page`, shown `width` pixels wide.

        It sees `page`, the document, and `view`, its window.
        """
        wrapper = self._folder / "wrapper.html"
        wrapper.write_text(_WRAPPER.format(page=page.as_uri(), width=width, script=script))
        shown = self._run(
            "--allow-file-access-from-files", f"--blink-settings=preferredColorScheme={int(not dark)}", "--dump-dom", wrapper.as_uri()
        )
        found = re.search(r"<pre>found (.*) end</pre>", shown.stdout, re.S)
        assert found, shown.stderr[-2000:]
        return json.loads(unescape(found[1]))

    def complaints(self, page: Path) -> list[str]:
        """Lines that the browser writes to its console while it opens `page`."""
        shown = self._run("--enable-logging=stderr", "--dump-dom", page.as_uri())
        return [line for line in shown.stderr.splitlines() if "CONSOLE" in line]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        profile = self._folder / "profile"
        options = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1500,1300",
            f"--user-data-dir={profile}",
        )
        return subprocess.run([self._program, *options, *arguments], capture_output=True, text=True, timeout=120, check=True)
