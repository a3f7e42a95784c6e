"""One call as it was seen from the client: invoked, and (perhaps) returned.

Times are nanoseconds of one machine's monotonic clock. The call's effect on the server lies somewhere in
`[invoke.at_ns, return.at_ns]`, or at any time after `invoke.at_ns` when the result is unknown.
"""

from enum import StrEnum

import msgspec


class Result(StrEnum):
    """What a client may conclude from one call (docs/checks.md, section 1)."""

    OK = "ok"  # 2xx with a body that parses: happened, inside the interval
    REJECTED = "rejected"  # 4xx with a parsable error body: had no effect
    NOT_SENT = "not_sent"  # no byte left this machine: had no effect
    UNKNOWN = "unknown"  # may have happened at any time from the invocation on, or never


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message inside the answer of a claim, in the order in which the server listed it."""

    id: str
    token: str = ""  # the harness's token found in the body; "" when the body carries none
    attempts: int | None = None  # as the server said; None when absent or not a whole number
    body: str = ""  # digest of the body, JSON-typed (`digest`)
    queue: str = ""  # queue_id as the server said, "" when absent


class Invoke(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="record", tag="invoke"):
    """The call is about to leave: written before the first byte is sent."""

    op: int  # unique in its history file, from 1
    at_ns: int  # stamped before the wait for a pooled connection
    verb: str  # a verb of contract/wire.py
    case: str = ""  # the case or flow that made the call
    attempt: int = 1  # of the harness's own retries of one intent; each is an operation of its own
    scope: str = ""
    queue: str = ""
    message: str = ""  # id of the message acted upon (complete, fail, release, extend, read)
    token: str = ""  # published: the token in the body, unique in the world
    key: str | None = None  # published: idempotency key
    body: str = ""  # published: digest of the body
    rest: str = ""  # published: digest of everything but body and key, where it may differ under one key; else ""
    timeout_s: float | None = None  # claim, extend: visibility timeout asked for
    limit: int | None = None  # claim: batch size asked for
    rank: int | None = None  # published: place in its queue's ordering, smaller first; None under fifo
    untimed: bool = False  # published: delayed, with a ttl or a deadline: out of scope for timing checks
    method: str = ""
    path: str = ""
    request: str = ""  # request body as text, shortened, secrets removed


class Return(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="record", tag="return"):
    """The call came back: written after the answer was parsed."""

    op: int
    at_ns: int
    result: Result
    status: int | None = None  # HTTP status; None when no answer came
    code: str = ""  # error.code
    why: str = ""  # in words, for every result but ok
    message: str = ""  # publish: the id that the server gave
    state: str = ""  # the message's, queue's or scope's state as answered
    items: tuple[Item, ...] = ()  # claim: what was delivered
    request_id: str = ""  # meta.request_id
    answer: str = ""  # response body as text, shortened, secrets removed


class Clock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="record", tag="clock"):
    """First record of a history file: which clock its times are of."""

    domain: str  # the machine's boot id: times of two domains are never compared
    at_ns: int  # monotonic clock …
    wall_us: int  # … and Unix time in µs at the same moment, for display only
    run: str
    writer: int = 0  # numbers the files of one run; operation ids are unique in (writer, op)


class Mark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="record", tag="mark"):
    """Something beside a call that a reader of the history needs: a phase, a fault's start or stop."""

    at_ns: int
    name: str
    detail: str = ""


class Shape(msgspec.Struct, frozen=True, kw_only=True, tag_field="record", tag="shape"):
    """What many records of a file share, told once: `[number, value, …]` is one of them, in a third of the bytes.

    A load writes two records a request; most of what they would say is said by the requests before.
    """

    number: int  # unique in the file, from 1
    of: str  # "invoke" or "return"
    names: tuple[str, ...]  # the members whose values follow the number
    common: dict[str, str | int | float | None]  # the members that are the same in all


Record = Invoke | Return | Clock | Mark
