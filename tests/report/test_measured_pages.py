"""The pages of capacity and comparison in a real browser: quiet, no wider than a phone, whatever a run says of itself.

Skipped where no Chromium is installed (`apt-get install chromium`).
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from queueproof.evidence.results import Results, Verdict
from queueproof.evidence.run import RunDirectory, manifest_of
from queueproof.report.write import render, write_reports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr", "--dump-dom"]
PROBE = """<script>
const page = document.documentElement;
page.dataset.overflow = page.scrollWidth - page.clientWidth;
</script>"""
EVIL = "<img src=x onerror=alert(1)>\"'`|\u202e\x1b[31m" + "x" * 90


def point(count: int) -> dict[str, float]:
    return {"count": count, "rate": 400.0 * count, "low": 380.0 * count, "high": 420.0 * count}


CAPACITY: dict[str, Any] = {
    "bound": "interval", "rate": 400.0, "low": 380.0, "high": 420.0, "held": 395.0, "why": EVIL, "proven": False,
    "conformance": EVIL, "samples": 2000, "searches": [],
    "probes": [
        {"number": 1, "rate": 200.0, "came": "met", "why": "", "phase": "rise", "directory": "windows/01"},
        {"number": 2, "rate": 400.0, "came": "missed", "why": EVIL, "phase": "rise", "directory": f"windows/{EVIL}"},
        {"number": 3, "rate": 300.0, "came": "invalid", "why": EVIL, "phase": "repeat"},
    ],
    "scaling": {
        "over": "replicas", "points": [point(1), point(2)], "alone": 400.0, "contention": 0.01, "coherence": 0.001,
        "peak": 30.0, "ceiling": 4000.0, "forecast": [point(1), point(2), point(8)], "sentence": EVIL,
    },
}  # fmt: skip
SIDE = {
    "name": EVIL,
    "run": "a",
    "started": "2026-01-01T00:00:00Z",
    "target": "",
    "scenario": EVIL,
    "sent": 1,
    "throughput": 1.0,
}
METRIC = {
    "metric": EVIL,
    "change": "slower",
    "baseline_us": 1e4,
    "run_us": 2e4,
    "ratio": 2.0,
    "low": 1.8,
    "high": 2.2,
    "allowed_us": 500.0,
}
COMPARISON: dict[str, Any] = {
    "baseline": SIDE, "run": SIDE, "metrics": [METRIC], "notes": [EVIL],
    "shown": [{"verb": EVIL, "percent": 50.0, "baseline_us": 1e4, "run_us": 2e4}],
    "errors": {"baseline": 0.0, "run": 0.1, "worse": True},
}  # fmt: skip


@pytest.fixture(params=["capacity", "compare"])
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    directory = RunDirectory.create(tmp_path / "run", request.param, "abcd1234")
    told = {"capacity": CAPACITY} if request.param == "capacity" else {"comparison": COMPARISON}
    target = {"url": "http://127.0.0.1:9"}
    directory.write_manifest(manifest_of(run="a", kind=request.param, target=target, options={"x": EVIL}, command=EVIL))
    held = ({"expression": EVIL, "value_us": 1, "met": False},)
    results = Results(
        schema=1, verdict=Verdict.OBJECTIVES_MISSED, exit_code=1, summary=EVIL, advice=EVIL, objectives=held, **told
    )
    directory.write_results(results)
    return directory.path


def test_nothing_that_a_run_says_becomes_markup(hostile: Path) -> None:
    page = render(hostile, "html")
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\x1b" not in render(hostile, "text")
    *told, command = render(hostile, "markdown").strip().splitlines()
    assert "<img" not in "".join(told).replace("\\<img", "")
    assert command.count("`") == 2  # one code span, in which nothing is markup


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_page_is_quiet_and_fits_a_phone(hostile: Path, tmp_path: Path) -> None:
    write_reports(hostile)
    _, log = opened(hostile / "report.html", tmp_path / "wide", 1400)
    assert "CONSOLE" not in log
    text = (hostile / "report.html").read_text()
    probed = hostile / "probed.html"
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    probed.write_text(bare.replace("</body>", f"{PROBE}</body>"))
    narrow, _ = opened(probed, tmp_path / "narrow", 360)
    assert 'data-overflow="0"' in narrow


def opened(page: Path, profile: Path, width: int) -> tuple[str, str]:
    """The page's elements, and what the browser logged."""
    assert CHROMIUM is not None
    words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},900", page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, done.stderr
