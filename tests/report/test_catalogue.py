"""The catalogue's page tells every requirement as the data has it."""

from pathlib import Path

from queueproof.contract.requirements import Requirement, catalogue
from queueproof.report.catalogue import page

ROOT = Path(__file__).parents[2]

ONE = Requirement(
    id="VIS-9", level="MUST", profile="core", statement="It MUST come back.", evidence=("CLAIM", "VIS"),
    known="derived", prerequisites=("PUB-1",), control="it was claimable once",
)  # fmt: skip


def test_an_entry_says_what_it_rests_on() -> None:
    told = page({ONE.id: ONE})
    assert "### VIS-9\n\nIt MUST come back.\n" in told
    assert (
        "- MUST, profile core, gates\n- derived: CLAIM, VIS\n- rests on PUB-1\n- control: it was claimable once\n"
        in told
    )


def test_the_page_in_the_documents_is_the_data() -> None:
    """Made anew by: python -m queueproof.report.catalogue > docs/requirements.md"""
    assert (ROOT / "docs" / "requirements.md").read_text("utf-8") == page(catalogue())
