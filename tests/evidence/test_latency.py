"""Durations: buckets, percentiles and files agree with the HdrHistogram library's own."""

from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given, settings
from hypothesis import strategies as st

from queueproof.errors import CorruptRunError
from queueproof.evidence import latency
from queueproof.evidence.latency import BUCKETS, HIGHEST_US, Histogram, Interval, IntervalLog, Recorder


def library() -> HdrHistogram:
    return HdrHistogram(latency.LOWEST_US, HIGHEST_US, latency.DIGITS)


def test_every_bucket_has_the_librarys_bounds_and_index() -> None:
    """All 23,552 buckets: lowest and highest value fall into it, and the library sees the same edges."""
    theirs = library()
    assert theirs.counts_len == BUCKETS
    for index in range(BUCKETS):
        low, high = latency.lowest(index), latency.highest(index)
        assert latency.bucket(low) == latency.bucket(high) == index
        assert theirs._counts_index_for(low) == theirs._counts_index_for(high) == index
    assert latency.bucket(latency.highest(BUCKETS - 2) + 1) == BUCKETS - 1


@given(st.lists(st.integers(0, HIGHEST_US), min_size=1, max_size=200), st.floats(0.01, 100))
@settings(deadline=None, max_examples=50)
def test_percentiles_equal_the_librarys(values: list[int], percent: float) -> None:
    """Any values, any percentile: the same number."""
    theirs, ours = library(), Recorder()
    for value in values:
        theirs.record_value(value)
        ours.record(value)
    histogram = Histogram(ours.cut())
    assert histogram.count == theirs.total_count
    assert histogram.percentile(percent) == theirs.get_value_at_percentile(percent)
    assert histogram.max == theirs.get_max_value()


def test_what_lies_out_of_range_is_counted_at_the_edge() -> None:
    """The library drops such values; a load tool must not."""
    recorder = Recorder()
    recorder.record(-5)
    recorder.record(HIGHEST_US * 7)
    histogram = Histogram(recorder.cut())
    assert histogram.count == 2
    assert histogram.min == 0
    assert histogram.max >= HIGHEST_US


def test_a_cut_starts_anew() -> None:
    recorder = Recorder()
    recorder.record(1500)
    assert recorder.cut() == {1500: 1}
    assert recorder.cut() == {}


@given(st.lists(st.lists(st.integers(0, 10_000_000), max_size=40), min_size=1, max_size=6))
@settings(deadline=None, max_examples=30)
def test_merging_parts_equals_recording_the_whole(parts: list[list[int]]) -> None:
    whole, merged = Recorder(), Histogram()
    for part in parts:
        recorder = Recorder()
        for value in part:
            recorder.record(value)
            whole.record(value)
        merged.add(recorder.cut())
    assert merged.counts == whole.cut()


@given(st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 2**40), max_size=60))
@settings(deadline=None, max_examples=50)
def test_the_payload_is_read_by_the_library(counts: dict[int, int]) -> None:
    """Encoded here, decoded there and here: the same counts."""
    payload = latency.encode(counts)
    assert latency.decode(payload) == counts
    theirs = HdrHistogram.decode(payload)
    assert {i: n for i in range(BUCKETS) if (n := theirs.get_count_at_index(i))} == counts


def test_the_librarys_payload_is_read_here() -> None:
    theirs = library()
    for value in (0, 1, 1, 2048, 77_000, 3_000_000_000):
        theirs.record_value(value)
    counts = latency.decode(theirs.encode().decode())
    assert Histogram(counts).count == 6
    assert Histogram(counts).percentile(50) == theirs.get_value_at_percentile(50)


def test_a_log_opens_in_the_librarys_reader(tmp_path: Path) -> None:
    path = tmp_path / latency.log_name("publish", "response")
    log = IntervalLog(path, start_s=1_700_000_000.0)
    log.write(Interval(start_s=1_700_000_000.0, length_s=1.0, counts={1000: 3}))
    log.write(Interval(start_s=1_700_000_001.0, length_s=1.0, counts={1200: 2}))
    log.close()
    reader = HistogramLogReader(str(path), library())
    first = reader.get_next_interval_histogram()
    second = reader.get_next_interval_histogram()
    reader.input_file.close()
    assert (first.total_count, second.total_count) == (3, 2)
    assert [dict(i.counts) for i in latency.read_logs(tmp_path)["publish", "response"]] == [{1000: 3}, {1200: 2}]
    assert latency.merged(latency.read_log(path)).count == 5


def test_a_torn_last_line_is_dropped_and_any_other_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "latency-claim-service.hlog"
    log = IntervalLog(path, start_s=1.0)
    log.write(Interval(start_s=1.0, length_s=1.0, counts={5: 1}))
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b"2.0,1.0,0.0,HISTFAA")
    assert len(latency.read_log(path)) == 1
    path.write_bytes(whole + b"2.0,1.0,0.0,HISTFAA\n" + b"3.0")
    with pytest.raises(CorruptRunError, match="line 5"):
        latency.read_log(path)


def test_a_summary_names_its_unit() -> None:
    histogram = Histogram({latency.bucket(100): 99, latency.bucket(900): 1})
    assert latency.summary(histogram)["p50_us"] == 100
    assert latency.summary(histogram)["max_us"] == 900
    assert Histogram().percentile(99) == 0
