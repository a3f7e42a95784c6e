"""The annotated contract: every sentence is there, with its sign, also those that nobody tried."""

import re
from pathlib import Path

from tests.report.test_html import Page

from queueproof.contract.requirements import catalogue
from queueproof.report.contract_page import contract_page
from queueproof.report.story import load_story
from queueproof.report.write import render, write_reports


def test_every_sentence_is_there_with_its_outcome(failing_run: Path) -> None:
    text = contract_page(load_story(failing_run).results, name="mine")
    page = Page(text)
    assert page.open == [] and set(catalogue()) <= set(page.all("id"))
    by_id = {name: outcome for outcome, name in re.findall(r'<li class="row ([\w-]+)" id="([A-Z]+-\d+)"', text)}
    assert by_id["CLAIM-6"] == "failed" and by_id["VIS-2"] == "blocked" and by_id["VIS-3"] == "untested"
    assert re.search(r'aria-hidden="true">✗</b> failed', text) and re.search(r'aria-hidden="true">·</b> untested', text)


def test_a_contract_without_a_run_is_all_untested() -> None:
    text = contract_page(None, name="nobody")
    assert text.count('class="row untested"') == len(catalogue())


def test_report_and_contract_lead_to_each_other(failing_run: Path) -> None:
    write_reports(failing_run)
    report, contract = ((failing_run / name).read_text() for name in ("report.html", "contract.html"))
    assert 'href="contract.html#CLAIM-6"' in report and 'href="contract.html"' in report
    assert 'href="report.html#CLAIM-6"' in contract
    assert set(re.findall(r'href="report\.html#([^"]+)"', contract)) <= set(Page(report).all("id"))
    assert "contract.html" not in render(failing_run, "html")
    assert "report.html" not in render(failing_run, "contract")


def test_a_load_run_has_no_contract(load_run: Path) -> None:
    write_reports(load_run)
    assert not (load_run / "contract.html").exists()
