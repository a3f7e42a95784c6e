"""The page in a real browser: quiet, no wider than its window, and its deep links open what they name.

Skipped where no Chromium is installed (`apt-get install chromium`).
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from queueproof.report.write import write_reports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--dump-dom",
]
PROBE = """<script>
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.documentElement.dataset.overflow = wide;
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")


def opened(page: Path, profile: Path, *, width: int = 1400, fragment: str = "", dark: bool = False) -> tuple[str, str]:
    """The page's elements after its script ran, and what the browser logged."""
    assert CHROMIUM is not None
    colours = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    address = f"{page.as_uri()}{fragment}"
    arguments = [CHROMIUM, *FLAGS, colours, f"--user-data-dir={profile}", f"--window-size={width},900", address]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, done.stderr


@pytest.mark.parametrize("name", ["failing_run", "hostile_run", "load_run"])
def test_a_page_is_quiet_and_fits_a_phone(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """No console message (a blocked request would be one), no sideways scrolling at 360 px."""
    path: Path = request.getfixturevalue(name)
    write_reports(path)
    dom, log = opened(path / "report.html", tmp_path / "profile", dark=True)
    assert "CONSOLE" not in log
    assert re.search(r'<button[^>]*class="copy"(?![^>]*hidden)', dom)  # the page's own script ran
    assert "alert(1)" not in "".join(re.findall(r"(?s)<script>(.*?)</script>", dom))
    text = (path / "report.html").read_text()
    probed = path / "probed.html"
    probed.write_text(
        re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", f"{PROBE}</body>")
    )
    narrow, _ = opened(probed, tmp_path / "narrow", width=360)
    assert 'data-overflow="0"' in narrow


def test_a_deep_link_opens_a_folded_card(failing_run: Path, tmp_path: Path) -> None:
    write_reports(failing_run)
    page = failing_run / "report.html"
    closed = re.search(r'id="ENV-4"[^>]*>\s*<details( open)?', page.read_text())
    dom, _ = opened(page, tmp_path / "profile", fragment="#ENV-4")
    shown = re.search(r'id="ENV-4"[^>]*>\s*<details( open)?', dom)
    assert closed is not None and closed[1] is None
    assert shown is not None and shown[1] == " open"


def test_a_foreign_script_is_refused(failing_run: Path, tmp_path: Path) -> None:
    """Even if markup slipped through, the page's own policy would not run it."""
    write_reports(failing_run)
    page = failing_run / "report.html"
    page.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    dom, log = opened(page, tmp_path / "profile")
    assert "data-overflow" not in dom.partition("</head>")[0] and "Content Security Policy" in log
