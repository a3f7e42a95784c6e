"""How every command that makes a run tells it: to a terminal, to a script, to GitHub's runner."""

import sys
from pathlib import Path


def tell(path: Path, *, quiet: bool = False, json: bool = False) -> None:
    """The story of the run in `path` on stdout, or (`json`) results.json there and the story on stderr.

    `quiet`: without the story. Inside a GitHub action its summary and annotations are written too.
    """
    from queueproof.cli.app import readable
    from queueproof.evidence.run import RESULTS
    from queueproof.report.github import tell as tell_github
    from queueproof.report.github import unheard
    from queueproof.report.story import load_story
    from queueproof.report.write import show

    story = load_story(path)
    stream = sys.stderr if json else sys.stdout
    if not quiet:
        with readable(), unheard(stream):
            show(story, stream)
    if json:
        with readable():
            sys.stdout.write((path / RESULTS).read_text(encoding="utf-8"))
    tell_github(story, sys.stderr)
