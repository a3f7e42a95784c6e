"""Routing rules: which rule a message matches first, and what it then becomes. Pure.

A rule is `{"conditions": {"all": [{"field", "op", "value"}]}, "action": {"kind", …}}`. The paths and JSON stand on no
page that was read; the four kinds of action, and that the first match wins, do.
"""

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from scaiqueue_reference.message import TIERS, Message

ACTIONS = ("route", "transform", "escalate", "archive")
MOST_HOPS = 8  # from queue to queue within one publish; beyond it the rules go in circles

_ORDERED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
OPERATORS = ("==", "!=", "in", "exists", *_ORDERED)


class Condition(msgspec.Struct, frozen=True):
    """`field` is labels.NAME, priority.tier, priority.score, type or content_type."""

    field: str
    op: str = "=="
    value: Any = None


class Action(msgspec.Struct, frozen=True):
    """route: to `queue`; transform: set `set`; escalate: a higher tier, and to `queue` if named; archive: end it."""

    kind: str
    queue: str | None = None  # a slug in the same scope
    set: dict[str, Any] = {}


class Rule(msgspec.Struct, frozen=True):
    """One rule; `queue` (a slug) limits it to messages of that queue."""

    action: Action
    conditions: tuple[Condition, ...] = ()
    queue: str | None = None
    trigger: str = "message_published"


def problems(rule: Rule) -> list[tuple[str, str]]:
    """What is wrong with a rule: pairs of field and reason."""
    found = []
    if rule.trigger != "message_published":
        found.append(("trigger", "must be message_published"))
    if rule.action.kind not in ACTIONS:
        found.append(("action.kind", f"must be one of {', '.join(ACTIONS)}"))
    if rule.action.kind == "route" and not rule.action.queue:
        found.append(("action.queue", "is required"))
    for place, condition in enumerate(rule.conditions):
        if condition.op not in OPERATORS:
            found.append((f"conditions[{place}].op", f"must be one of {', '.join(OPERATORS)}"))
        if _reader(condition.field) is None:
            found.append((f"conditions[{place}].field", "must be labels.NAME, priority.tier, priority.score or type"))
    for name, value in rule.action.set.items():
        if name == "priority.tier" and value in TIERS:
            continue
        if name == "priority.score" and type(value) is int and 0 <= value <= 1000:
            continue
        if not (name.startswith("labels.") and isinstance(value, str | int | float | bool | None)):
            found.append((f"action.set.{name}", "must be labels.NAME or a priority, with a value that fits"))
    return found


def first_match(rules: Sequence[Rule], message: Message, queue_slug: str) -> Rule | None:
    """The first rule whose queue and conditions all fit."""
    labels = json.loads(message.labels) if message.labels else {}
    return next((rule for rule in rules if rule.queue in (None, queue_slug) and _fits(rule, message, labels)), None)


def _fits(rule: Rule, message: Message, labels: Mapping[str, Any]) -> bool:
    return all(_true(condition, message, labels) for condition in rule.conditions)


def _true(condition: Condition, message: Message, labels: Mapping[str, Any]) -> bool:
    reader = _reader(condition.field)
    seen = None if reader is None else reader(message, labels)
    if condition.op == "exists":
        return (seen is not None) == (condition.value is not False)
    if condition.op == "in":
        return isinstance(condition.value, list) and any(_equal(seen, one) for one in condition.value)
    if condition.op in _ORDERED:
        comparable = type(seen) is type(condition.value) or (_number(seen) and _number(condition.value))
        return seen is not None and comparable and bool(_ORDERED[condition.op](seen, condition.value))
    return _equal(seen, condition.value) == (condition.op == "==")


def _equal(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reader(field: str) -> Callable[[Message, Mapping[str, Any]], Any] | None:
    if field.startswith("labels.") and len(field) > len("labels."):
        return lambda _, labels: labels.get(field.removeprefix("labels."))
    readers: dict[str, Callable[[Message, Mapping[str, Any]], Any]] = {
        "priority.tier": lambda message, _: message.priority_tier,
        "priority.score": lambda message, _: message.priority_score,
        "type": lambda message, _: message.message_type,
        "content_type": lambda message, _: message.content_type,
    }
    return readers.get(field)


def transformed(message: Message, changes: Mapping[str, Any]) -> Message:
    """The message with the rule's changes of priority and labels."""
    labels = json.loads(message.labels) if message.labels else {}
    labels |= {name.removeprefix("labels."): value for name, value in changes.items() if name.startswith("labels.")}
    return msgspec.structs.replace(
        message,
        labels=msgspec.json.encode(labels) if labels else message.labels,
        priority_tier=changes.get("priority.tier", message.priority_tier),
        priority_score=changes.get("priority.score", message.priority_score),
    )


def escalated(message: Message) -> Message:
    """The message one tier higher."""
    return msgspec.structs.replace(message, priority_tier=TIERS[max(0, TIERS.index(message.priority_tier) - 1)])
