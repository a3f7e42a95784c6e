"""`queueproof --help` answers at once: nothing that a run needs is imported for it."""

import subprocess
import sys

HEAVY = {"asyncio", "gevent", "httpx", "jinja2", "locust", "msgspec", "polars", "pytest", "rich", "hypothesis", "ssl"}


def test_help_imports_nothing_heavy() -> None:
    """A quarter of a second on a slow machine; each of these alone would take as long or longer."""
    script = (
        "import sys; from queueproof.cli import main; sys.argv = ['queueproof', '--help']\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "conformance" in done.stdout
    assert set(done.stderr.split()) & HEAVY == set()
