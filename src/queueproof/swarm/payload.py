"""Message bodies that carry their own proof: a token unique in the world, a checksum, and the moment they were due.

A body is `{"at": µs, "pad": …, "qp": token, "sum": checksum}`. Whoever reads it again can tell whether it is whole
(checksum), whose it is (token) and how long ago it was meant to leave (`at`, µs of the publisher's monotonic clock).
The digest is `evidence.digest` of that body, spelled out here for this one shape because it is taken for every message.
"""

import hashlib
import itertools
import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from queueproof.contract import wire
from queueproof.errors import UsageError
from queueproof.evidence.digest import digest

# So many different paddings of each size are made beforehand and used in turn.
VARIANTS = 16


class Padding(NamedTuple):
    """A `pad` member, prepared."""

    value: Any
    json: bytes
    checksum: int


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body as the load publishes it, when its `pad` is text."""

    at: int
    pad: str
    qp: str
    sum: str


class Paddings:
    """Gives the padding of message after message."""

    def __init__(self, sizes: tuple[tuple[int, float], ...], files: str, *, seed: int) -> None:
        """`files`: a folder of JSON or text payloads instead of `sizes`; raises UsageError when it holds none."""
        self._draw = random.Random(seed)
        self._weights = list(itertools.accumulate(weight for _, weight in sizes))
        if files:
            made = [prepared(_content(path)) for path in _files(files)]
            self._turns = [itertools.cycle(made)]
        else:
            self._turns = [itertools.cycle(self._random(size)) for size, _ in sizes]

    def __iter__(self) -> Iterator[Padding]:
        return self

    def __next__(self) -> Padding:
        turns = self._turns
        if len(turns) == 1:
            return next(turns[0])
        return next(self._draw.choices(turns, cum_weights=self._weights)[0])

    def _random(self, size: int) -> list[Padding]:
        alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
        return [prepared("".join(self._draw.choices(alphabet, k=size))) for _ in range(VARIANTS)]


def prepared(pad: Any) -> Padding:
    """Any JSON value as padding."""
    return Padding(pad, wire.encode(pad), _of_padding(pad))


def body(token: str, at_us: int, padding: Padding) -> tuple[bytes, str]:
    """(the body as JSON, its digest)."""
    checksum = _checksum(token, at_us, padding.checksum)
    text = b'{"at":%d,"pad":%b,"qp":"%b","sum":"%b"}' % (at_us, padding.json, token.encode(), checksum.encode())
    if isinstance(padding.value, str):
        return text, _digest(token, at_us, padding.value, checksum)
    return text, digest({"at": at_us, "pad": padding.value, "qp": token, "sum": checksum})


def read(found: Any) -> tuple[str, int, bool, str]:
    """What a delivered body says: (token, at µs, whether its checksum holds, its digest).

    `found`: a Body, or whatever JSON came. Token "" and at 0 when it carries none.
    """
    if isinstance(found, Body):
        whole = found.sum == _checksum(found.qp, found.at, _of_padding(found.pad))
        return found.qp, found.at, whole, _digest(found.qp, found.at, found.pad, found.sum)
    token = wire.token(found)
    at = found.get("at") if isinstance(found, dict) else None
    if not token or not isinstance(at, int) or isinstance(at, bool):
        return token, 0, False, digest(found)
    whole = found.get("sum") == _checksum(token, at, _of_padding(found.get("pad")))
    return token, at, whole, digest(found)


def _of_padding(pad: Any) -> int:
    return zlib.crc32(pad.encode("utf-8", "surrogatepass") if isinstance(pad, str) else digest(pad).encode())


def _checksum(token: str, at_us: int, pad: int) -> str:
    return f"{zlib.crc32(f'{token} {at_us}'.encode('utf-8', 'surrogatepass'), pad):08x}"


def _digest(token: str, at_us: int, pad: str, checksum: str) -> str:
    text = f"{{2:at=int:{at_us}3:pad=s{len(pad)}:{pad}2:qp=s{len(token)}:{token}3:sum=s{len(checksum)}:{checksum}}}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _files(folder: str) -> list[Path]:
    paths = sorted(path for path in Path(folder).glob("*") if path.is_file()) if Path(folder).is_dir() else []
    if not paths:
        raise UsageError(f"messages.files: {folder} holds no payload", hint="name a folder of .json or text files")
    return paths


def _content(path: Path) -> Any:
    try:
        text = path.read_bytes().decode("utf-8", "replace")
        return json.loads(text) if path.suffix == ".json" else text
    except OSError as error:
        raise UsageError(
            f"messages.files: {path} cannot be read: {error.strerror}", hint="name a folder that can be read"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"messages.files: {path} is no JSON: {error}", hint="repair it, or give it another ending"
        ) from error
