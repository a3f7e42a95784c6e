"""How a case ends when it does not pass: raised inside the case, read by the engine.

CaseEnd
├── Violation      the server broke the requirement
├── Blocked        another requirement, on which this one rests, was not met here
├── NotSupported   an optional verb is not there
├── NotRun         a key or option is missing
├── Inconclusive   it cannot be told
└── Disturbed      the network came between: the engine starts the case anew, and gives up as inconclusive
"""

# The root under which a refusal of what no page documents is told apart from one that breaks a promise.
UNDOCUMENTED = "undocumented"


class CaseEnd(Exception):  # noqa: N818 -- these are endings, only some of them are errors
    """A case ended without passing; `evidence` lists operation ids."""

    def __init__(self, summary: str, *, evidence: tuple[int, ...] = ()) -> None:
        super().__init__(summary)
        self.summary = summary
        self.evidence = evidence


class Violation(CaseEnd):
    """The server broke the requirement.

    `liveness`: it was only late or absent, so one observation proves nothing and the engine repeats the case.
    """

    def __init__(
        self,
        summary: str,
        *,
        expected: str,
        seen: str,
        proof: str = "",
        evidence: tuple[int, ...] = (),
        liveness: bool = False,
    ) -> None:
        super().__init__(summary, evidence=evidence)
        self.expected = expected
        self.seen = seen
        self.proof = proof
        self.liveness = liveness


class Blocked(CaseEnd):
    """`root`, a requirement on which this case rests, was not met here.

    A valid request that was refused proves by itself that the root is broken. `liveness`: something was only missing,
    so that the engine repeats the case before it counts as proof. `expected`, `seen`, `proof`: for the root's account.
    """

    def __init__(
        self,
        root: str,
        summary: str,
        *,
        expected: str = "",
        seen: str = "",
        proof: str = "",
        evidence: tuple[int, ...] = (),
        liveness: bool = False,
    ) -> None:
        super().__init__(summary, evidence=evidence)
        self.root = root
        self.expected = expected
        self.seen = seen
        self.proof = proof
        self.liveness = liveness


class NotSupported(CaseEnd):
    """An optional verb answers 404, 405 or 501, or something else that no page promises is not there.

    `lacks`: what is surely not there, by its name in contract/capabilities.py; verbs the engine adds by itself.
    """

    def __init__(self, summary: str, *, evidence: tuple[int, ...] = (), lacks: tuple[str, ...] = ()) -> None:
        super().__init__(summary, evidence=evidence)
        self.lacks = lacks


class FewHeld(NotSupported):
    """So many messages are held that no more are handed out; the limit may be this queue's or the caller's."""


class NotRun(CaseEnd):
    """A key or an option that the case needs was not given."""


class Inconclusive(CaseEnd):
    """What was seen allows no conclusion."""


class Disturbed(CaseEnd):
    """The network or a passing refusal came between, so that the case has to start anew."""
