"""Leaves the server as it was found: takes away what was created, with or without DELETE; touches no verdict."""

from collections.abc import Iterable

from queueproof.contract import paging, wire
from queueproof.drive.client import Client, Exchange
from queueproof.evidence.created import CreatedScope, Ledger
from queueproof.evidence.results import CleanUp

CASE = "clean-up"
# Messages left in a queue that cannot be deleted are completed, this many claims at most.
CLAIMS_A_QUEUE = 20
LONG_HOLD_S = 60
LONGEST_LISTING = 50  # pages


async def clean_up(ledger: Ledger, client: Client, *, afterwards: bool = False) -> CleanUp:
    """Deletes every scope of the ledger, or empties and pauses its queues and says what is left.

    A scope whose creation was never answered is looked up by its slug. One that the server does not list is written
    off only when the run has long ended (`afterwards`): its creation may still be under way.
    """
    wanted = [scope for scope in ledger.scopes.values() if scope.id]
    unanswered = [scope.slug for scope in ledger.scopes.values() if not scope.id]
    left: list[str] = []
    note = ""
    if unanswered:
        found, unknown = await _find(unanswered, client)
        wanted += found
        if unknown:
            left += unknown
            note = "the server did not list its scopes: whether these were created is not known"
        elif afterwards:
            for slug in set(unanswered) - {scope.slug for scope in found}:
                ledger.gone(slug)
    deleted = 0
    for scope in wanted:
        refusal = (
            NO_ANSWER
            if note is NO_ANSWER and client.silence.word
            else await _delete(scope, client, afterwards=afterwards)
        )
        if not refusal:
            deleted += 1
            ledger.gone(scope.slug)
            continue
        left.append(scope.slug)
        note = refusal
        if refusal is not NO_ANSWER:
            await _silence(scope, client)
    return CleanUp(scopes_created=len(wanted), scopes_deleted=deleted, left=tuple(left), note=note)


NO_DELETE = "this server offers no DELETE for scopes: their queues were emptied and paused"
NO_ANSWER = "the server did not answer: when it does, run `queueproof clean RUN`"


async def _delete(scope: CreatedScope, client: Client, *, afterwards: bool) -> str:
    """ "" when the scope is gone, else why not. A passing fault of the network gets a second and a third try.

    `afterwards`: the server may have been made anew meanwhile, so that "no such scope" is looked into.
    """
    for attempt in range(3):
        exchange = await client.send(wire.delete_scope(scope.id), case=CASE)
        if exchange.answer is None and client.silence.word:
            break
        if exchange.ok or (exchange.status == 404 and attempt and exchange.code):
            return ""
        if exchange.status == 404 and afterwards and await _find([scope.slug], client) == ([], []):
            return ""
        if exchange.unsupported:
            return NO_DELETE
        if 400 <= exchange.status < 500:
            return f"the server refused to delete scopes ({exchange.told()}): their queues were emptied and paused"
    return NO_ANSWER if exchange.answer is None else f"the server failed to delete scopes ({exchange.told()})"


async def _silence(scope: CreatedScope, client: Client) -> None:
    """Completes what is claimable and pauses: what a server without DELETE allows."""
    for queue in scope.queues:
        for _ in range(CLAIMS_A_QUEUE):
            request = wire.claim(scope.id, queue, batch_size=10, visibility_timeout_s=LONG_HOLD_S)
            exchange = await client.send(request, case=CASE, fields={"timeout_s": LONG_HOLD_S, "limit": 10})
            found = [wire.identity(item) for item in wire.rows(exchange.data) or []] if exchange.ok else []
            if not found:
                break
            for message in found:
                await client.send(wire.complete(scope.id, message), case=CASE)
        await client.send(wire.change_queue(scope.id, queue, "pause"), case=CASE)
    await client.send(wire.change_scope(scope.id, "archive"), case=CASE)


async def _find(slugs: Iterable[str], client: Client) -> tuple[list[CreatedScope], list[str]]:
    """Scopes looked up by slug, and the slugs of which a listing that broke off says nothing."""
    missing = set(slugs)
    found: list[CreatedScope] = []
    page: dict[str, str] = {}
    seen = 0
    for _ in range(LONGEST_LISTING):
        exchange = await _listed(page, client)
        if not exchange.ok or exchange.answer is None:
            break
        rows = [row for row in wire.rows(exchange.data) or [] if isinstance(row, dict)]
        ours = {row["slug"]: row for row in rows if row.get("slug") in missing}
        found.extend(CreatedScope(slug=slug, id=wire.identity(row)) for slug, row in ours.items())
        missing -= ours.keys()
        seen += len(rows)
        following = paging.next_page(exchange.answer, page, seen)
        if following is None:
            return found, []
        if not following:
            break
        page = following
    return found, sorted(missing)


async def _listed(page: dict[str, str], client: Client) -> Exchange:
    """One page of scopes; a passing fault of the network gets a second and a third try."""
    exchange = await client.send(wire.list_scopes(**page), case=CASE)
    for _ in range(2):
        if exchange.ok or 400 <= exchange.status < 500 or exchange.hangs:
            break
        exchange = await client.send(wire.list_scopes(**page), case=CASE)
    return exchange
