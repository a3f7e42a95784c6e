"""QUEUE: orderings that are none, and a depth of zero."""

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import QUICKSTART_QUEUE, Case, proves

HOLD_S = 30
MESSAGES = 12


@proves("QUEUE-4")
async def test_an_unknown_ordering_is_refused(case: Case) -> None:
    """QUEUE-4: An unknown `ordering` SHOULD give 422 `VALIDATION_ERROR`.

    A word that is none of the orderings; the same request with `fifo` succeeds (the control).
    """
    known = await case.queue()
    fields = {"slug": case.world.slug(case.requirement), "display_name": "queueproof", **QUICKSTART_QUEUE}
    needed = {"max_depth": 0} if "max_depth" in case.world.dialect.queue_fields_needed else {}
    exchange = await ask(case, wire.create_queue(known.scope, {**fields, **needed, "ordering": "sideways"}))
    if exchange.ok and wire.identity(exchange.data):
        case.world.ledger.queue(known.scope, wire.identity(exchange.data))
    case.require(
        (exchange.status, exchange.code) == (422, "VALIDATION_ERROR"),
        "a queue with an unknown ordering was not refused as invalid",
        expected="422 VALIDATION_ERROR",
        seen=exchange.told(),
        evidence=(known.created, exchange),
    )


@proves("QUEUE-5")
async def test_depth_zero_is_no_limit(case: Case) -> None:
    """QUEUE-5: `max_depth: 0` MUST NOT block publishing.

    A dozen messages in a row, none of them claimed meanwhile; then each is delivered (the control), and one more is
    taken.
    """
    queue = await case.queue(max_depth=0)
    messages = [await queue.publish(root="QUEUE-5") for _ in range(MESSAGES)]
    await queue.take(*messages, batch_size=5, timeout_s=HOLD_S)
    await queue.publish(root="QUEUE-5")
