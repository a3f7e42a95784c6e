"""What a key may do, seen by asking: each right's own call, in the examination's own scope."""

from collections.abc import Mapping, Sequence

from queueproof.contract import wire
from queueproof.drive.client import Exchange
from queueproof.drive.probe import ask, message, new_queue
from queueproof.drive.world import World
from queueproof.evidence.checkup import Line, Sign

RIGHTS = ("view", "publish", "consume", "manage")
# Without these no case can be arranged; reading is needed by some.
NEEDED = ("publish", "consume", "manage")


async def rights_of(world: World, queue: str, name: str, key: str, *, thorough: bool = True) -> Line:
    """One key's line; `name`: "api", "view", "publish", "consume", "manage" or "foreign".

    `thorough`: False asks only whether the key is valid (one call instead of four).
    """
    read = await ask(world, wire.read_scope(world.scope), key=key)
    if read.status == 401:
        return _line(name, Sign.BAD, f"refused ({read.told()})", {"valid": False}, f"check --{name}-key")
    if name == "foreign":
        return _foreign(read)
    if not thorough:
        said = "valid; its rights were not asked for: the rate limit leaves too few requests"
        return _line(name, Sign.TOLD, said, {"valid": True})
    seen = {"view": read, **await _others(world, queue, key)}
    held = [right for right in RIGHTS if _has(seen[right])]
    unclear = [f"{right} ({seen[right].told()})" for right in RIGHTS if _has(seen[right]) is None]
    return _judged(name, held, unclear)


async def _others(world: World, queue: str, key: str) -> Mapping[str, Exchange]:
    claim = wire.claim(world.scope, queue, batch_size=1, visibility_timeout_s=world.dialect.timeout_s)
    made = await ask(world, new_queue(world, "rights"), key=key)
    found = wire.identity(made.data) if made.ok else ""
    if found:
        world.ledger.queue(world.scope, found)
    return {
        "publish": await ask(world, message(world, queue), key=key),
        "consume": await ask(world, claim, key=key),
        "manage": made,
    }


def _has(exchange: Exchange) -> bool | None:
    """Whether the key has the right that this call needs; None where the answer does not tell."""
    if exchange.status in {401, 403}:
        return False
    return True if exchange.ok else None


def _judged(name: str, held: Sequence[str], unclear: Sequence[str]) -> Line:
    """A key's rights against those that its name promises."""
    wanted = NEEDED if name == "api" else (name,)
    lacking = [right for right in wanted if right not in held]
    said = ", ".join(held) or "no right"
    said += f"; unclear: {', '.join(unclear)}" if unclear else ""
    value = {"valid": True, "rights": list(held)}
    if lacking and name == "api":
        advice = f"give --api-key a key with {', '.join(f'scaiqueue:{right}' for right in RIGHTS)}"
        return _line(name, Sign.BAD, f"{said}; lacks {', '.join(lacking)}", value, advice)
    if lacking or (name != "api" and len(held) > 1):
        return _line(name, Sign.ODD, said, value, f"give --{name}-key a key with scaiqueue:{name} alone")
    if name == "api" and "view" not in held:
        return _line(name, Sign.ODD, said, value, "without scaiqueue:view what is read back cannot be checked")
    return _line(name, Sign.GOOD, said, value)


def _foreign(read: Exchange) -> Line:
    value = {"valid": True, "sees_this_tenant": read.ok}
    if read.ok:
        advice = "is --foreign-key a key of another tenant? If it is, AUTH-6 fails here"
        return _line("foreign", Sign.ODD, "sees a scope of the main key's tenant", value, advice)
    return _line("foreign", Sign.GOOD, f"does not see the main key's scope ({read.told()})", value)


def _line(name: str, sign: Sign, said: str, value: object, advice: str = "") -> Line:
    return Line(area="keys", name=name, sign=sign, said=said, value=value, advice=advice)
