"""Durations without averaging: HDR buckets of 1 µs to 1 h at three digits, merged exactly, kept as interval logs.

A bucket holds values that agree in their first three digits, so that any percentile is right to 0.1 %, and two
histograms are merged by adding counts. Recording costs an index and an increment on a plain list; the files
(`.hlog`, payload V2) open in every HdrHistogram tool. Bucket layout and payload: HdrHistogram's published format.
"""

import base64
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from queueproof.errors import CorruptRunError

LOWEST_US: Final = 1
HIGHEST_US: Final = 3_600_000_000  # an hour; what lies beyond is counted as an hour, never dropped
DIGITS: Final = 3
BUCKETS: Final = 23_552  # (22 doublings of 2,048 sub-buckets that reach an hour, + 1) × 1,024

# Reading all the buckets of a list costs more than finding out that 256 of them are empty.
_STRIDE: Final = 256

Counts = Mapping[int, int]  # bucket → how often; only buckets that hold something

_HEADER: Final = struct.Struct(">iiiiqqd")
_COOKIE: Final = 0x1C849303 | 0x10
_COMPRESSED_COOKIE: Final = 0x1C849304 | 0x10


def bucket(value_us: int) -> int:
    """The bucket of a duration within [0, HIGHEST_US]."""
    doubling = (value_us | 2047).bit_length() - 11
    return ((doubling + 1) << 10) + (value_us >> doubling) - 1024


def lowest(index: int) -> int:
    """The smallest value of a bucket, µs."""
    doubling = max((index >> 10) - 1, 0)
    return (index - (doubling << 10)) << doubling


def highest(index: int) -> int:
    """The largest value of a bucket, µs: what HdrHistogram reports for it."""
    return lowest(index) + (1 << max((index >> 10) - 1, 0)) - 1


class Recorder:
    """Counts durations of one interval; `cut` takes them away and starts the next.

    A hot loop may inline `record` on `counts` (values must lie within [0, HIGHEST_US]).
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS

    def record(self, value_us: int) -> None:
        """One duration, µs; below zero counts as zero, above an hour as an hour."""
        x = value_us if 0 <= value_us <= HIGHEST_US else (0 if value_us < 0 else HIGHEST_US)
        b = (x | 2047).bit_length() - 11
        self.counts[((b + 1) << 10) + (x >> b) - 1024] += 1

    def cut(self) -> dict[int, int]:
        """What was recorded since the last cut. About 0.1 ms: empty stretches are skipped whole."""
        counts, found = self.counts, {}
        for start in range(0, BUCKETS, _STRIDE):
            if any(counts[start : start + _STRIDE]):
                for index in range(start, start + _STRIDE):
                    if counts[index]:
                        found[index] = counts[index]
                        counts[index] = 0
        return found


class Histogram:
    """Counts of any number of intervals, greenlets, processes and machines; adding is exact."""

    __slots__ = ("_counts", "_sorted", "count")

    def __init__(self, counts: Counts | None = None) -> None:
        self._counts: dict[int, int] = {}
        self._sorted: list[int] | None = None
        self.count = 0
        if counts:
            self.add(counts)

    def add(self, counts: Counts) -> None:
        own = self._counts
        for index, number in counts.items():
            own[index] = own.get(index, 0) + number
            self.count += number
        self._sorted = None

    @property
    def counts(self) -> dict[int, int]:
        return dict(self._counts)

    def percentile(self, percent: float) -> int:
        """The value, µs, at or below which `percent` (0 to 100) of all lie; 0 when nothing was recorded."""
        wanted = max(1, int(percent / 100 * self.count + 0.5))
        seen = 0
        for index in self._ordered():
            seen += self._counts[index]
            if seen >= wanted:
                return highest(index)
        return 0

    @property
    def max(self) -> int:
        ordered = self._ordered()
        return highest(ordered[-1]) if ordered else 0

    @property
    def min(self) -> int:
        ordered = self._ordered()
        return lowest(ordered[0]) if ordered else 0

    @property
    def mean(self) -> float:
        """From the middles of the buckets, µs: right to 0.1 %."""
        total = sum((lowest(index) + highest(index)) / 2 * number for index, number in self._counts.items())
        return total / self.count if self.count else 0.0

    def _ordered(self) -> list[int]:
        if self._sorted is None:
            self._sorted = sorted(self._counts)
        return self._sorted


def summary(histogram: Histogram) -> dict[str, int]:
    """The percentiles that results.json keeps, µs."""
    points = {"p50_us": 50.0, "p90_us": 90.0, "p95_us": 95.0, "p99_us": 99.0, "p999_us": 99.9}
    return {**{name: histogram.percentile(at) for name, at in points.items()}, "max_us": histogram.max}


# ── payloads ──────────────────────────────────────────────────────────────────────────────────────────────────────


def encode(counts: Counts) -> str:
    """Counts as a compressed V2 payload in base64, as it stands in a `.hlog` line."""
    body = bytearray()
    position = 0
    for index in sorted(counts):
        if index > position:
            _put(body, position - index)  # a negative number: so many empty buckets
        _put(body, counts[index])
        position = index + 1
    header = _HEADER.pack(_COOKIE, len(body), 0, DIGITS, LOWEST_US, HIGHEST_US, 1.0)
    packed = zlib.compress(header + bytes(body), 1)
    return base64.b64encode(struct.pack(">ii", _COMPRESSED_COOKIE, len(packed)) + packed).decode("ascii")


def decode(payload: str) -> dict[int, int]:
    """The counts of a payload that `encode` (or an HdrHistogram of the same range) wrote; raises ValueError."""
    try:
        plain = zlib.decompress(base64.b64decode(payload)[8:])
        cookie, _, _, digits, _, _, _ = _HEADER.unpack_from(plain)
    except (ValueError, zlib.error, struct.error) as error:
        raise ValueError(f"no compressed histogram: {error}") from error
    if cookie != _COOKIE or digits != DIGITS:
        raise ValueError("a histogram of another layout")
    counts, position = {}, 0
    for number in _take(plain[_HEADER.size :]):
        if number < 0:
            position -= number
        else:
            if number:
                counts[position] = number
            position += 1
    return counts


def _put(body: bytearray, number: int) -> None:
    """ZigZag LEB128 of 64 bits; a ninth byte would hold eight bits, which no count here reaches."""
    value = (number << 1) ^ (number >> 63)
    while value > 0x7F:
        body.append(value & 0x7F | 0x80)
        value >>= 7
    body.append(value)


def _take(body: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in body:
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            yield (value >> 1) ^ -(value & 1)
            value = shift = 0


# ── interval logs ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """What was recorded in one stretch of a run."""

    start_s: float  # Unix time
    length_s: float
    counts: Counts


class IntervalLog:
    """Writes one `.hlog` file, a line an interval, each on disk before the next."""

    def __init__(self, path: Path, *, start_s: float) -> None:
        """`start_s`: Unix time of the run's first interval."""
        self._file: TextIO = path.open("w", encoding="ascii", buffering=1)
        self._file.write("#[Histogram log format version 1.3]\n")
        self._file.write(f"#[StartTime: {start_s:.3f} (seconds since epoch), durations in microseconds]\n")
        self._file.write('"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n')

    def write(self, interval: Interval) -> None:
        top_ms = highest(max(interval.counts)) / 1000 if interval.counts else 0.0
        self._file.write(f"{interval.start_s:.3f},{interval.length_s:.3f},{top_ms:.3f},{encode(interval.counts)}\n")

    def close(self) -> None:
        self._file.close()


def log_name(verb: str, kind: str) -> str:
    """The file of one verb's response, service or lateness (`e2e` and its kin have one kind: response)."""
    return f"latency-{verb}-{kind}.hlog"


def read_log(path: Path) -> list[Interval]:
    """The intervals of a `.hlog`; a torn last line is dropped. Raises CorruptRunError for any other bad line."""
    lines = path.read_bytes().decode("ascii", "replace").split("\n")
    intervals = []
    for number, line in enumerate(lines, 1):
        if not line or line[0] in '#"':
            continue
        try:
            start, length, _, payload = line.split(",", 3)
            intervals.append(Interval(start_s=float(start), length_s=float(length), counts=decode(payload)))
        except ValueError as error:
            if number == len(lines):
                break
            raise CorruptRunError(
                f"{path}, line {number}, is no histogram interval: {error}", hint="take an unchanged copy, or run again"
            ) from error
    return intervals


def read_logs(directory: Path) -> dict[tuple[str, str], list[Interval]]:
    """All `latency-VERB-KIND.hlog` of a run directory, by (verb, kind)."""
    found = {}
    for path in sorted(directory.glob("latency-*.hlog")):
        verb, _, kind = path.stem.removeprefix("latency-").rpartition("-")
        found[verb, kind] = read_log(path)
    return found


def merged(intervals: Iterable[Interval]) -> Histogram:
    """All intervals as one histogram."""
    whole = Histogram()
    for interval in intervals:
        whole.add(interval.counts)
    return whole
