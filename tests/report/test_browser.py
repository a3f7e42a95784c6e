"""Every page in a real browser: quiet, no wider than its window, light and dark, by keyboard, fair to a screen reader.

One browser for all tests, in one worker, and one profile for all tabs that ask for the same. Screenshots are kept in
reports/pages/, which git ignores.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.report import conftest as stories
from tests.report import measured_stories as measured

from queueproof.report.matrix import build
from queueproof.report.matrix_page import write_matrix
from queueproof.report.write import write_reports

playwright = pytest.importorskip("playwright.sync_api", reason="make setup installs Playwright")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SCREENSHOTS = Path(__file__).parents[2] / "reports" / "pages"
NARROW, WIDE = 360, 1_400
# What writes the run of each page; the contract and the matrix are made of two of them.
RUNS: dict[str, Callable[[Path], Path]] = {
    "passing": stories.passing,
    "failing": stories.failing,
    "hostile": stories.hostile,
    "interrupted": stories.interrupted,
    "load": measured.load,
    "capacity": measured.capacity,
    "compare": measured.compared,
    "hostile-capacity": measured.hostile_capacity,
    "hostile-compare": measured.hostile_comparison,
}
PAGES = (*RUNS, "contract", "matrix", "hostile-matrix")
KINDS = ("failing", "load", "capacity", "compare", "contract", "matrix")  # one page each
# Rows that differ in their words only: the first few stand for all, or axe takes a minute on two busy cores.
ALIKE = (
    ".sentences > li:nth-child(n+4)",
    ".part-of-contract:nth-of-type(n+4) .untested",
    ".all > li:nth-child(n+6)",
    "tr.row:nth-child(n+4)",
    ".rest",
    ".overview tr:nth-child(n+6)",
    ".overview td a:nth-child(n+3)",
    "svg.heat rect:nth-of-type(n+3)",
    "svg.graph g:nth-of-type(n+4)",
    ".numbers tr:nth-child(n+5)",
)
# What is far from the window is laid out only when it comes near: on a picture of the whole page it would be missing.
LAID_OUT = "* { content-visibility: visible !important }"
# The page's own policy forbids scripts that are not ours; what Playwright evaluates is none of the page's.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

pytestmark = [
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium: `apt-get install chromium` (.ci/run does), or name one in CHROMIUM"
    ),
]


class Tab:
    """A page that counts what it should not do: messages, errors, requests beyond its own file."""

    def __init__(self, context: Any, address: str, width: int) -> None:
        self.page = context.new_page()
        self.page.set_viewport_size({"width": width, "height": 900})
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.messages.append(f"dialog {dialog.message}"), dialog.dismiss()))
        own = address.partition("#")[0]

        def decide(route: Any) -> None:
            if route.request.url.partition("#")[0] == own or route.request.url.startswith("data:"):
                route.continue_()
            else:
                self.requests.append(route.request.url)
                route.abort()

        self.page.route("**/*", decide)
        self.page.goto(address)

    def quiet(self) -> bool:
        return self.messages == [] and self.requests == []


@pytest.fixture(scope="module")
def context_for() -> Iterator[Callable[..., Any]]:
    """The browser's profile with these options, made when it is first asked for.

    No longer than this module's: while it lives, playwright's event loop runs, and `asyncio.run` cannot.
    """
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        made: dict[str, Any] = {}

        def find(**options: Any) -> Any:
            name = repr(sorted(options.items()))
            if name not in made:
                made[name] = chromium.new_context(**options)
            return made[name]

        yield find
        chromium.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each kind of page, written once."""
    base = tmp_path_factory.mktemp("pages")
    made = {name: write(base / name) for name, write in RUNS.items()}
    for path in made.values():
        write_reports(path)
    for name, third in (("matrix", []), ("hostile-matrix", [str(made["hostile"])])):
        write_matrix(build([str(made["passing"]), str(made["failing"]), *third]), base / name)
    found = {name: path / "report.html" for name, path in made.items()}
    found |= {name: base / name / "index.html" for name in ("matrix", "hostile-matrix")}
    return {**found, "contract": made["failing"] / "contract.html"}


@pytest.fixture
def opened(context_for: Callable[..., Any], pages: dict[str, Path]) -> Iterator[Callable[..., Tab]]:
    tabs: list[Tab] = []

    def open_page(name: str | Path, fragment: str = "", *, width: int = WIDE, **options: Any) -> Tab:
        path = pages[name] if isinstance(name, str) else name
        tabs.append(Tab(context_for(**options), f"{path.as_uri()}{fragment}", width))
        return tabs[-1]

    yield open_page
    for tab in tabs:
        tab.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_fits_and_is_fair(name: str, scheme: str, opened: Callable[..., Tab]) -> None:
    """No message, no request, no sideways scrolling; and no serious finding of axe, folded parts unfolded."""
    from axe_playwright_python.sync_playwright import Axe

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    tab = opened(name, width=NARROW, color_scheme=scheme)
    for width in (NARROW, WIDE):
        tab.page.set_viewport_size({"width": width, "height": 900})
        tab.page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True, style=LAID_OUT)
        assert tab.page.evaluate(OVERFLOW) == 0, width
    assert tab.quiet(), (tab.messages, tab.requests)
    tab.page.evaluate("for (const part of [...document.querySelectorAll('details')].slice(0, 12)) part.open = true")
    # What does not depend on the colours is asked once.
    rules = ["color-contrast"] if scheme == "dark" else ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
    options = {"runOnly": rules, "resultTypes": ["violations"], "preload": False}
    context = {"include": [["html"]], "exclude": [[many] for many in ALIKE]}
    found = Axe().run(tab.page, context=context, options=options).response["violations"]
    serious = [
        (one["id"], [node["html"][:200] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
    assert serious == []


def test_a_card_folds_by_click_and_by_key(opened: Callable[..., Tab]) -> None:
    page = opened("failing").page
    card = page.locator("#ENV-4 > details")
    card.scroll_into_view_if_needed()  # what is far away is laid out only now, and would move under the pointer
    playwright.expect(card).not_to_have_attribute("open", "")
    card.locator("> summary").click()
    playwright.expect(card).to_have_attribute("open", "")
    card.locator("> summary").press("Enter")
    playwright.expect(card).not_to_have_attribute("open", "")


def test_a_deep_link_opens_what_it_names(opened: Callable[..., Tab]) -> None:
    page = opened("failing", "#ENV-4").page
    playwright.expect(page.locator("#ENV-4 > details")).to_have_attribute("open", "")
    in_sight = "top => top >= -1 && top < 900"
    page.wait_for_function(f"() => ({in_sight})(document.getElementById('ENV-4').getBoundingClientRect().top)")


def test_a_timeline_is_seen_and_its_bars_lead_to_their_exchanges(opened: Callable[..., Tab]) -> None:
    page = opened("failing").page
    timeline = page.locator("#CLAIM-6 svg.timeline").first
    assert timeline.is_visible() and timeline.locator("circle.ring").count() == 1
    assert timeline.locator("rect.held").first.bounding_box()["width"] > 50
    link = timeline.locator("a").last
    assert "complete" in link.locator("title").first.text_content()
    link.locator("rect").first.click()
    page.wait_for_function("location.hash")
    target = page.evaluate("decodeURIComponent(location.hash.slice(1))")
    exchange = page.locator(f"[id='{target}']")
    playwright.expect(exchange).to_have_attribute("open", "")
    playwright.expect(exchange.locator(".messages")).to_be_visible()


def test_a_command_is_copied(opened: Callable[..., Tab]) -> None:
    page = opened("failing", permissions=["clipboard-read", "clipboard-write"]).page
    page.locator(".broken button.copy").first.click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()).includes('--requirement CLAIM-6')")


@pytest.mark.parametrize("name", KINDS)
def test_every_control_is_reached_by_tab(name: str, opened: Callable[..., Tab]) -> None:
    """Links, buttons, folds and fields in sight take the focus one after the other; the first leads past the head."""
    page = opened(name).page
    wanted = page.evaluate(
        "[...document.querySelectorAll('a[href], button, summary, input, select')]"
        ".filter(e => e.checkVisibility({contentVisibilityAuto: false}) && !e.disabled).length"
    )
    assert (
        page.evaluate('document.querySelectorAll(\'[tabindex]:not([tabindex="0"]):not([tabindex="-1"])\').length') == 0
    )
    page.evaluate("window.reached = new Set(); addEventListener('focusin', e => reached.add(e.target))")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(3 * wanted):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    missed = page.evaluate(
        "[...document.querySelectorAll('a[href], button, summary, input, select')]"
        ".filter(e => e.checkVisibility() && !e.disabled && !reached.has(e)).map(e => e.outerHTML.slice(0, 120))"
    )
    assert missed == []


def test_ten_thousand_calls_are_a_few_elements(opened: Callable[..., Tab], tmp_path: Path) -> None:
    """Only what is in sight is drawn, wherever the list is scrolled to; filtering narrows it."""
    run = stories.Run(tmp_path / "many")
    for number in range(10_000):
        refused = number == 9_000
        run.call("claim", number / 100, number / 100 + 0.001, result="rejected" if refused else "ok", case="a::c")
    write_reports(run.finish(stories.Verdict.CONFORMS, 0, stories.requirement("VIS-1")))
    tab = opened(tmp_path / "many" / "report.html")
    page = tab.page
    rows = page.locator(".reel .entry")
    assert page.locator("#calls-title").text_content() == "Every call 10,000"
    for place in (0, 0.5, 1):
        page.evaluate(f"e = document.querySelector('.calls'); e.scrollTop = {place} * e.scrollHeight")
        number = str(max(1, round(place * 10_000)))
        page.locator(f".reel .entry:has(.op:text-is('#{number}'))").wait_for(state="attached")
        assert 0 < rows.count() < 60
    page.locator("#calls-result").select_option("rejected")
    assert page.locator("#calls-matches").text_content() == "1 of 10,000"
    assert rows.locator(".op").all_text_contents() == ["#9001"]
    page.locator("#calls-result").select_option("")
    page.locator("#calls-filter").fill("#123")
    assert page.locator("#calls-matches").text_content() == "11 of 10,000"
    assert page.evaluate("document.querySelectorAll('*').length") < 1_500
    assert tab.quiet()


def test_the_list_of_requirements_filters(opened: Callable[..., Tab]) -> None:
    page = opened("failing").page
    page.locator("#filter").fill("claim-6")  # the blocked name it too
    assert page.locator("#requirements li:visible .id").all_text_contents() == ["CLAIM-6", "DONE-4", "VIS-2"]


def test_the_matrix_filters_and_sorts(opened: Callable[..., Tab]) -> None:
    page = opened("matrix").page
    page.locator("select[data-key=outcome]").select_option("blocked")
    assert page.locator("tr.row:visible .id").all_text_contents() == ["DONE-4", "VIS-2"]
    page.locator("select[data-key=outcome]").select_option("")
    page.locator("thead button", has_text="failing").click()
    assert page.locator("tr.row:visible .id").first.text_content() in {"CLAIM-6", "IDEM-3", "ENV-4"}
    page.locator("thead button", has_text="failing").click()
    assert page.locator("tr.row:visible .id").first.text_content() == "AUTH-3"


def test_a_page_prints_whole(opened: Callable[..., Tab]) -> None:
    """No control on paper, no card folded, nothing wider than the sheet."""
    page = opened("failing", width=700).page
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("article.card > details:not([open])").count() == 0
    assert page.locator("button:visible, nav:visible, input:visible").count() == 0
    assert page.evaluate(OVERFLOW) == 0
    assert page.pdf(format="A4")[:4] == b"%PDF"


def test_a_dark_page_prints_light(opened: Callable[..., Tab]) -> None:
    page = opened("failing", color_scheme="dark").page
    ink = "getComputedStyle(document.body).color"
    dark = page.evaluate(ink)
    page.emulate_media(media="print")
    assert dark == "rgb(231, 235, 241)" and page.evaluate(ink) == "rgb(20, 25, 34)"


def test_without_script_all_is_still_there(opened: Callable[..., Tab]) -> None:
    page = opened("failing", java_script_enabled=False).page
    assert page.locator("#CLAIM-6 svg.timeline").first.is_visible()
    assert page.locator("button:visible").count() == 0 and page.locator(".filter:visible").count() == 0


def test_a_foreign_script_is_refused(opened: Callable[..., Tab], pages: dict[str, Path], tmp_path: Path) -> None:
    """Even if markup slipped through, the page's own policy would not run it."""
    page = tmp_path / "forged.html"
    page.write_text(
        pages["failing"].read_text().replace("</body>", "<script>document.title = 'forged'</script></body>")
    )
    tab = opened(page)
    assert tab.page.title() != "forged" and any("Content Security Policy" in message for message in tab.messages)


def test_what_a_hostile_server_said_is_seen_and_does_nothing(opened: Callable[..., Tab]) -> None:
    """Markup, a terminal's escape, NUL and a change of direction as text; five million characters cut, and said so."""
    tab = opened("hostile")
    for shown in ("</script><script>alert(1)</script>", "\\x1b[31m", "\\x00", "\\u202egnp.exe"):
        assert tab.page.get_by_text(shown).count() > 0, shown
    whole = tab.page.evaluate("document.body.textContent")
    assert not {"\x1b", "\x00", "\u202e"} & set(whole)
    assert re.search(r"x{100,}… \(4,99\d,\d{3} more characters\)", whole)
    assert tab.quiet()
