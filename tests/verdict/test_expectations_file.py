"""The file of known failures: every mistake told at once, and an update that keeps the user's words."""

import tomllib
from datetime import date
from typing import Any

import pytest

from queueproof.contract.requirements import catalogue_version
from queueproof.errors import UsageError
from queueproof.evidence.results import Outcome, RequirementResult
from queueproof.verdict.expectations import EXPECTED, Expectation, compare
from queueproof.verdict.expectations_file import UNSAID, Update, parse, updated

TODAY = date(2026, 11, 24)
SIGN = "hidden: a held message came back [3fa9c2d1]"
TEXT = f"""# Ours.
catalogue = 1  # made in spring

# The lock.
[[expectation]]
requirement = "VIS-1"
why = "cut to seconds"   # see the ticket
issue = "#41"
signature = [
  "{SIGN}",  # the first
]
expires = 2027-03-31

# ── publishing ──

[[expectation]]
requirement = "PUB-1"
why = '''
a state
[not] "pending"'''
signature = "gives_state: another state [00000001]"
"""


def refused(text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse(text, "known.toml")
    assert caught.value.hint
    return caught.value.message.splitlines()


class TestReading:
    """What is right is read; what is wrong is told, all of it."""

    def test_an_entry(self) -> None:
        found = parse(TEXT, "known.toml")
        assert list(found.entries) == ["VIS-1", "PUB-1"]
        assert found.entries["VIS-1"] == Expectation(
            requirement="VIS-1", why="cut to seconds", issue="#41", expires=date(2027, 3, 31), signature=(SIGN,), line=5
        )
        assert found.entries["PUB-1"].line == 16

    def test_an_empty_file(self) -> None:
        assert parse("", "known.toml").entries == {}

    def test_every_mistake_is_told_with_its_entry_and_line(self) -> None:
        text = """
catalog = 1
[[expectation]]
requirement = "VIS-1"
why = ""
[[expectation]]
requirement = "VIS1"
outcome = "passed"
why = "x"
expires = "2027-01-01"
[[expectation]]
requirement = "VIS-1"
reason = "x"
"""
        told = refused(text)
        assert told[0] == "known.toml cannot be used:"
        assert [line.strip() for line in told[1:]] == [
            "catalog: there is no such member: did you mean catalogue?",
            "entry 1 (VIS-1), line 3: why is missing: say what is broken and why that can wait",
            "entry 1 (VIS-1), line 3: signature is missing: --update-expectations writes it",
            "entry 2 (VIS1), line 6: there is no requirement VIS1: did you mean VIS-1 or VIS-7?",
            f"entry 2 (VIS1), line 6: outcome 'passed' cannot be expected: one of {', '.join(EXPECTED)} can",
            "entry 2 (VIS1), line 6: expires is no date: write it like 2027-03-31, without quotes",
            "entry 2 (VIS1), line 6: signature is missing: --update-expectations writes it",
            "entry 3 (VIS-1), line 11: there is no member reason",
            "entry 3 (VIS-1), line 11: why is missing: say what is broken and why that can wait",
            "entry 3 (VIS-1), line 11: signature is missing: --update-expectations writes it",
            "entry 3 (VIS-1), line 11: VIS-1 has an entry already: one holds all its signatures",
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("catalogue = ", "is no TOML"),
            ("catalogue = 'one'", "write the number"),
            ("catalogue = true", "write the number"),
            (f"catalogue = {catalogue_version() + 1}", "a newer queueproof"),
            ("expectation = 3", "under a line [[expectation]]"),
            ("[expectation]\nrequirement = 'VIS-1'", "under a line [[expectation]]"),
            ("[[expectation]]\nwhy = 'x'", "it names no requirement"),
            ("[[expectation]]\nrequirement = 'VIS-1'\nwhy = 3", "why is no text"),
            ("[[expectation]]\nrequirement = 'VIS-1'\nwhy = 'x'\nsignature = 'it broke'", "signature is not as"),
            ("[[expectation]]\nrequirement = 'VIS-1'\nwhy = 'x'\nsignature = [1]", "signature is not as"),
            ("[[expectation]]\nrequirement = 'VIS-1'\nwhy = 'x'\nsometimes = 'yes'", "sometimes is true or false"),
            (
                f"[[expectation]]\nrequirement = 'VIS-1'\nwhy = 'x'\nsometimes = true\nsignature = '{SIGN}'",
                "an expires",
            ),
            (f"[[expectation]]\nrequirement = 'VIS-1'\nwhy = '{UNSAID}'\nsignature = '{SIGN}'", "an expires"),
            (
                f"[[expectation]]\nrequirement = 'VIS-1'\noutcome = 'blocked'\nwhy = 'x'\nsignature = '{SIGN}'",
                "what is blocked has no signature",
            ),
        ],
    )
    def test_a_mistake(self, text: str, said: str) -> None:
        assert said in "\n".join(refused(text))

    def test_a_reason_that_is_not_said_is_taken_for_a_while(self) -> None:
        text = f"[[expectation]]\nrequirement = 'VIS-1'\nwhy = '{UNSAID}'\nexpires = 2026-12-01\nsignature = '{SIGN}'"
        assert parse(text, "known.toml").entries["VIS-1"].why == UNSAID


def after(text: str, *results: tuple[str, str, str], **signs: str) -> Update:
    """The update after a run; each result: requirement, outcome, how it stood."""
    found = [
        RequirementResult(
            id=name,
            level="MUST",
            profile="core",
            outcome=Outcome(outcome),
            expectation=standing,
            signature=(signs.get(name.replace("-", "_"), SIGN),) if outcome == "failed" else (),
        )
        for name, outcome, standing in results
    ]
    return updated(text, parse(text, "known.toml", filling=True), found, today=TODAY)


class TestUpdating:
    """New is added, changed is changed, mended is taken out, and the rest is the user's."""

    def test_nothing_to_do_changes_nothing(self) -> None:
        update = after(TEXT, ("VIS-1", "failed", "known"), ("CLAIM-1", "passed", ""))
        assert update.text == TEXT
        assert (update.added, update.changed, update.removed) == ((), (), ())

    def test_a_new_file(self) -> None:
        update = after("", ("VIS-1", "failed", "new"), ("PUB-1", "failed", ""))
        assert update.added == ("VIS-1",)
        [entry] = parse(update.text, "known.toml").entries.values()
        assert (entry.why, entry.expires, entry.signature) == (UNSAID, date(2026, 12, 24), (SIGN,))
        assert tomllib.loads(update.text)["catalogue"] == catalogue_version()
        assert after(update.text, ("VIS-1", "failed", "known")).text == update.text

    def test_what_is_mended_is_taken_out_with_its_comment_and_no_other(self) -> None:
        update = after(TEXT, ("VIS-1", "passed", "stale"))
        assert update.removed == ("VIS-1",)
        assert "The lock." not in update.text
        assert "# Ours.\n" in update.text
        assert "# ── publishing ──" in update.text
        assert list(parse(update.text, "known.toml").entries) == ["PUB-1"]

    def test_what_fails_differently_keeps_the_users_words(self) -> None:
        update = after(TEXT, ("VIS-1", "failed", "unmatched"), VIS_1="other: it broke [0000000a]")
        assert update.changed == ("VIS-1",)
        entry = parse(update.text, "known.toml").entries["VIS-1"]
        assert entry.signature == ("other: it broke [0000000a]",)
        for kept in ("# The lock.", 'why = "cut to seconds"   # see the ticket', 'issue = "#41"', "2027-03-31"):
            assert kept in update.text
        assert SIGN not in update.text

    def test_what_fails_only_sometimes_gathers_its_signatures(self) -> None:
        text = TEXT.replace("expires = 2027", "sometimes = true\nexpires = 2027")
        update = after(text, ("VIS-1", "failed", "unmatched"), VIS_1="other: it broke [0000000a]")
        assert parse(update.text, "known.toml").entries["VIS-1"].signature == (SIGN, "other: it broke [0000000a]")

    def test_another_outcome(self) -> None:
        text = "[[expectation]]\nrequirement = 'VIS-1'\noutcome = 'inconclusive'\nwhy = 'slow net'\n"
        entry = parse(after(text, ("VIS-1", "failed", "unmatched")).text, "known.toml").entries["VIS-1"]
        assert (entry.outcome, entry.why, entry.signature) == (Outcome.FAILED, "slow net", (SIGN,))
        assert after(TEXT, ("VIS-1", "not-supported", "unmatched")).removed == ("VIS-1",)

    def test_a_missing_signature_is_filled_in(self) -> None:
        text = "[[expectation]]\nrequirement = 'VIS-1'\nwhy = 'by hand'\n"
        entry = parse(after(text, ("VIS-1", "failed", "unmatched")).text, "known.toml").entries["VIS-1"]
        assert (entry.why, entry.signature) == ("by hand", (SIGN,))

    @pytest.mark.parametrize("outcome", ["inconclusive", "blocked", "not-run"])
    def test_what_could_not_be_told_stays(self, outcome: str) -> None:
        assert after(TEXT, ("VIS-1", outcome, "untold")).text == TEXT

    def test_an_expired_entry_stays_expired(self) -> None:
        assert after(TEXT, ("VIS-1", "failed", "expired")).text == TEXT

    def test_what_was_provisional_is_decided(self) -> None:
        update = after(TEXT, ("CLAIM-1", "failed", "provisional"))
        assert update.added == ("CLAIM-1",)
        assert update.text.startswith(TEXT)

    def test_the_catalogue_of_the_file_is_brought_up_to_date(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("queueproof.verdict.expectations_file.catalogue_version", lambda: 2)
        assert "catalogue = 2  # made in spring\n" in after(TEXT).text
        assert after("# mine\n").text == "# mine\n\ncatalogue = 2\n"

    def test_odd_letters_survive(self) -> None:
        sign = 'x: "#" \\ é 😀 \x7f [0000000a]'
        update = after("", ("VIS-1", "failed", "new"), VIS_1=sign)
        assert parse(update.text, "known.toml").entries["VIS-1"].signature == (sign,)

    def test_inline_tables_are_refused(self) -> None:
        text = f"expectation = [{{requirement = 'VIS-1', why = 'x', signature = '{SIGN}'}}]"
        assert parse(text, "known.toml").entries["VIS-1"].line == 0
        with pytest.raises(UsageError, match="cannot be updated"):
            after(text, ("VIS-1", "failed", "known"))

    def test_windows_line_ends(self) -> None:
        text = TEXT.replace("\n", "\r\n")
        entries = parse(after(text, ("VIS-1", "passed", "stale")).text, "known.toml").entries
        assert list(entries) == ["PUB-1"]


def test_a_file_that_was_just_written_covers_the_run_that_wrote_it() -> None:
    """Update, then compare: nothing is new any more."""
    seen = RequirementResult(id="VIS-1", level="MUST", profile="core", outcome=Outcome.FAILED, summary="it broke")
    found: dict[str, Any] = {"today": TODAY, "gates": lambda _: True}
    before = compare([seen], parse("", "k"), **found)
    assert before[0].expectation == "new"
    update = updated("", parse("", "k"), before, today=TODAY)
    assert compare([seen], parse(update.text, "k"), **found)[0].expectation == "known"
