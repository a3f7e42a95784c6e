"""Pages of a list: `limit` and an opaque `cursor`, the last id of the page before."""

import base64
import binascii
from collections.abc import Mapping

from scaiqueue_reference.errors import Invalid

LARGEST_PAGE = 500
DEFAULT_PAGE = 50


def limit_of(query: Mapping[str, str], default: int = DEFAULT_PAGE) -> int:
    """The page's size; raises Invalid."""
    text = query.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LARGEST_PAGE):
        raise Invalid(("limit", f"must be a whole number from 1 to {LARGEST_PAGE}"))
    return int(text)


def after_of(query: Mapping[str, str]) -> str:
    """The id after which the page starts; raises Invalid."""
    text = query.get("cursor", "")
    try:
        return base64.b64decode(text, b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise Invalid(("cursor", "is none that this server gave")) from error


def cursor_of(last_id: str) -> str:
    """The cursor of the page that follows `last_id`."""
    return base64.urlsafe_b64encode(last_id.encode("ascii")).decode("ascii")
