"""Times and ids."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from scaiqueue_reference.clock import Clock, message_id, resource_id


@given(st.integers(0, 2**48 * 1000 - 2), st.integers(1, 10**9))
def test_ids_sort_by_their_time(at_us: int, later: int) -> None:
    """One µs is enough."""
    following = min(at_us + later, 2**48 * 1000 - 1)
    assert message_id(at_us) < message_id(following) or following == at_us


def test_an_id_is_a_version_7_uuid() -> None:
    """Variant and version bits, and the canonical text."""
    text = message_id(1_700_000_000_123_456)
    parsed = uuid.UUID(text)
    assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, text)


def test_ticks_never_repeat() -> None:
    """Also faster than the clock's own µs, and past rows of an earlier process."""
    clock = Clock()
    ticks = [clock.tick_us() for _ in range(10_000)]
    assert len(set(ticks)) == len(ticks)
    assert ticks == sorted(ticks)
    clock.advance_past(ticks[-1] + 10**12)
    assert clock.tick_us() > ticks[-1] + 10**12


def test_resource_ids_sort_by_creation() -> None:
    """Lists of places page by id."""
    ids = [resource_id("q", at_us) for at_us in range(1_700_000_000_000_000, 1_700_000_000_000_050)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 50
