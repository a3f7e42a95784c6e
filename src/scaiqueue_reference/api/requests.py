"""The bodies of requests: their fields, bounds and defaults, and an error that names the field."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from scaiqueue_reference.errors import Invalid
from scaiqueue_reference.message import CONSUMER_MODES, ORDERINGS, OVERFLOW_POLICIES, TIERS, Draft
from scaiqueue_reference.payload import blame

T = TypeVar("T")

DEFAULT_VISIBILITY_S = 30
LARGEST_BATCH = 500
_LARGEST_VISIBILITY_S = 43_200  # half a day
_LONGEST_LIFE_S = 315_360_000  # ten years
_MOST_LABELS = 256
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_FRACTION = re.compile(r"(\.\d{6})(\d+)")

_Slug = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]
Short = Annotated[str, Meta(min_length=1, max_length=255)]
_Name = Annotated[str, Meta(max_length=255)]
_Text = Annotated[str, Meta(max_length=4000)]
_Seconds = (
    Annotated[int, Meta(ge=1, le=_LARGEST_VISIBILITY_S)] | Annotated[float, Meta(ge=0.1, le=_LARGEST_VISIBILITY_S)]
)
_Life = Annotated[int, Meta(ge=1, le=_LONGEST_LIFE_S)] | Annotated[float, Meta(gt=0, le=_LONGEST_LIFE_S)]
_Score = Annotated[int, Meta(ge=0, le=1000)]
_Moment = str | int | float | None


class ScopeRequest(Struct):
    """POST /scopes"""

    slug: _Slug
    display_name: _Name | None = None
    description: _Text | None = None


class ScopeUpdate(Struct):
    """PATCH /scopes/{scope_id}"""

    display_name: _Name | UnsetType = UNSET
    description: _Text | UnsetType = UNSET


class QueueRequest(Struct):
    """POST /scopes/{scope_id}/queues"""

    slug: _Slug
    display_name: _Name | None = None
    description: _Text | None = None
    ordering: str | None = None
    consumer_mode: str | None = None
    max_depth: Annotated[int, Meta(ge=0, le=10**9)] | None = None
    overflow_policy: str | None = None
    max_retries: Annotated[int, Meta(ge=0, le=100)] | None = None


class QueueUpdate(Struct):
    """PUT or PATCH a queue: only what is sent changes"""

    slug: str | UnsetType = UNSET
    display_name: _Name | UnsetType = UNSET
    description: _Text | UnsetType = UNSET
    ordering: str | UnsetType = UNSET
    consumer_mode: str | UnsetType = UNSET
    max_depth: Annotated[int, Meta(ge=0, le=10**9)] | UnsetType = UNSET
    overflow_policy: str | UnsetType = UNSET
    max_retries: Annotated[int, Meta(ge=0, le=100)] | UnsetType = UNSET


class Priority(Struct):
    """The nested form of a priority"""

    tier: str | None = None
    score: _Score | None = None


class PublishRequest(Struct):
    """POST …/messages"""

    type: Short | None = None
    message_type: Short | None = None
    body: Raw | UnsetType = UNSET
    priority: Priority | None = None
    priority_tier: str | None = None
    priority_score: _Score | None = None
    labels: Raw | UnsetType = UNSET
    idempotency_key: Short | None = None
    correlation_id: _Name | None = None
    causation_id: _Name | None = None
    parent_id: _Name | None = None
    content_type: Short | None = None
    ttl_seconds: _Life | None = None
    deadline: _Moment = None
    delay_until: _Moment = None
    hitl_spec: Raw | UnsetType = UNSET


class ClaimRequest(Struct):
    """POST …/messages/claim"""

    batch_size: Annotated[int, Meta(ge=1, le=LARGEST_BATCH)] = 1
    visibility_timeout_s: _Seconds = DEFAULT_VISIBILITY_S


class CompleteRequest(Struct):
    """POST …/complete"""

    response: Raw | UnsetType = UNSET


class FailRequest(Struct):
    """POST …/fail"""

    reason: _Text | None = None
    failure_reason: _Text | None = None


class ReleaseRequest(Struct):
    """POST …/release"""


class ExtendRequest(Struct):
    """POST …/extend: the lock then lasts this long from now on"""

    visibility_timeout_s: _Seconds = DEFAULT_VISIBILITY_S


_Labels = msgspec.json.Decoder(
    Annotated[
        dict[Annotated[str, Meta(max_length=255)], str | int | float | bool | None], Meta(max_length=_MOST_LABELS)
    ]
)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def decode(shape: type[T], body: bytes) -> T:
    """`body` as a `shape`; an empty body is an empty object. Raises Invalid with the field's name."""
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape)
    try:
        if not body.isascii():
            body.decode()
        request: T = decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        raise Invalid(_named(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid((blame(body), f"is no valid JSON in UTF-8: {error}")) from error
    except RecursionError as error:
        raise Invalid((blame(body), "is nested too deeply")) from error
    return request


def _named(message: str) -> tuple[str, str]:
    """`Expected … - at `$.priority.score`` as field and reason; a missing field is named as well."""
    reason, _, path = message.partition(" - at `")
    field = path.rstrip("`").removeprefix("$").lstrip(".")
    missing = re.search(r"missing required field `([^`]+)`", reason)
    if missing:
        field = f"{field}.{missing[1]}".lstrip(".")
    return field or "$", reason


def one_of(field: str, value: str, allowed: tuple[str, ...]) -> str:
    """`value` when it is allowed; raises Invalid."""
    if value not in allowed:
        raise Invalid((field, f"must be one of {', '.join(allowed)}"))
    return value


def check_queue(fields: dict[str, Any]) -> dict[str, Any]:
    """A queue's fields with their enumerations checked."""
    for name, allowed in (
        ("ordering", ORDERINGS),
        ("consumer_mode", CONSUMER_MODES),
        ("overflow_policy", OVERFLOW_POLICIES),
    ):
        if name in fields:
            one_of(name, fields[name], allowed)
    return fields


def given(request: Struct) -> dict[str, Any]:
    """The members that were sent, nulls left out."""
    values = {name: getattr(request, name) for name in request.__struct_fields__}
    return {name: value for name, value in values.items() if value is not None and value is not UNSET}


def draft(request: PublishRequest) -> Draft:
    """A publish request as a draft; raises Invalid."""
    if isinstance(request.body, UnsetType):
        raise Invalid(("body", "is required"))
    priority = request.priority or Priority()
    tier = _either("priority_tier", request.priority_tier, priority.tier) or "normal"
    score = _either("priority_score", request.priority_score, priority.score)
    message_type = _either("message_type", request.message_type, request.type)
    if message_type is None:
        raise Invalid(("type", "is required"))
    return Draft(
        message_type=message_type,
        body=bytes(request.body),
        content_type=request.content_type or "application/json",
        labels=_labels(request.labels),
        hitl_spec=_object("hitl_spec", request.hitl_spec),
        priority_tier=one_of("priority.tier", tier, TIERS),
        priority_score=500 if score is None else score,
        correlation_id=request.correlation_id,
        causation_id=request.causation_id,
        parent_id=request.parent_id,
        idempotency_key=None if request.idempotency_key is None else request.idempotency_key.encode(),
        ttl_seconds=request.ttl_seconds,
        deadline_us=moment("deadline", request.deadline),
        delay_until_us=moment("delay_until", request.delay_until),
    )


def _either(field: str, flat: T | None, other: T | None) -> T | None:
    if flat is not None and other is not None and flat != other:
        raise Invalid((field, "was sent twice, with different values"))
    return other if flat is None else flat


def _labels(raw: Raw | UnsetType) -> bytes | None:
    payload = payload_of(raw)
    if payload is not None:
        try:
            _Labels.decode(payload)
        except (msgspec.MsgspecError, ValueError) as error:
            raise Invalid(("labels", _named(str(error))[1])) from error
    return payload


def _object(field: str, raw: Raw | UnsetType) -> bytes | None:
    payload = payload_of(raw)
    if payload is not None and not payload.startswith(b"{"):
        raise Invalid((field, "must be an object"))
    return payload


def payload_of(raw: Raw | UnsetType) -> bytes | None:
    """The JSON bytes as they came; None for null or absent."""
    if isinstance(raw, UnsetType):
        return None
    payload = bytes(raw)
    return None if payload == b"null" else payload


def moment(field: str, value: _Moment) -> int | None:
    """RFC 3339 text (UTC when it names no zone) or seconds since 1970, as µs, rounded up; raises Invalid."""
    if value is None:
        return None
    try:
        micros = _micros(value)
    except (ValueError, OverflowError) as error:
        raise Invalid((field, "must be an RFC 3339 time, or seconds since 1970")) from error
    if not _EARLIEST_US <= micros <= _LATEST_US:
        raise Invalid((field, "must lie in the years 1 to 9999 (UTC)"))
    return micros


def _micros(value: str | float) -> int:
    if not isinstance(value, str):
        return timedelta(seconds=value) // _MICROSECOND
    at = datetime.fromisoformat(_FRACTION.sub(r"\1", value))
    beyond = _FRACTION.search(value)
    rounded = 1 if beyond and int(beyond[2]) else 0
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND + rounded
