"""Makes text that a server may have chosen safe to show anywhere: no control, no direction change, no endless length.

Escaping for a format (markup, XML, Markdown) is that format's own step, after this one.
"""

import re
from html import escape
from typing import Final

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000

_LABEL: Final = 300  # a text cut this short is a label: it has no room for a count
# A stack of combining marks can grow over its neighbours; no language needs more than this on one letter.
_MARKS: Final = re.compile(
    r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)


def plain(text: object, limit: int = 4_000, *, lines: bool = False) -> str:
    """`text` with whatever does not print shown as an escape (`\\x1b`), and at most about `limit` characters.

    Controls, bidirectional marks, zero-width and private characters, lone surrogates and line separators are
    escaped; a line break or a tab stays only where `lines` is true.
    """
    kept = shorten(str(text), limit)
    if not kept.isprintable():
        stay = "\n\t" if lines else ""
        kept = "".join(c if c.isprintable() or c in stay else _escape(c) for c in kept.replace("\r\n", "\n"))
        kept = shorten(kept, 2 * limit)  # escaping may have made it several times as long
    return kept if kept.isascii() else _MARKS.sub(r"\1", kept)


def fit(text: object, limit: int) -> str:
    """As `plain` with its lines; shorter still where escaping the markup in it makes it several times as long."""
    shown = plain(text, limit, lines=True)
    return shown if len(escape(shown)) <= 2 * limit else plain(text, limit // 4, lines=True)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, and (in all but labels) how many more there were."""
    if len(text) <= limit:
        return text
    if limit <= _LABEL:
        return f"{text[:limit]}…"
    return f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def _escape(character: str) -> str:
    code = ord(character)
    if character == "\n":
        return "\\n"
    if character == "\t":
        return "\\t"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def seconds(ns: int | float) -> str:
    """A span in seconds with three decimals: "7.917 s"."""
    return f"{ns / NS_PER_S:.3f} s"


def span(ns: int | float) -> str:
    """A span in the unit that suits it: "480 µs", "12.4 ms", "7.917 s"."""
    if abs(ns) >= NS_PER_S:
        return seconds(ns)
    return f"{ns / NS_PER_MS:.1f} ms" if abs(ns) >= NS_PER_MS else f"{ns / 1_000:.0f} µs"


def count(number: int, noun: str, plural: str = "") -> str:
    """ "1 operation", "2,000 operations"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
