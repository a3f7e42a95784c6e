"""Scenarios: the shipped ones are right, and a wrong one is told all its mistakes at once."""

from pathlib import Path

import pytest

from queueproof.errors import UsageError
from queueproof.swarm import scenario, values
from queueproof.verdict import objectives

SHIPPED = ["backlog-drain", "batch", "fan-in", "poison", "ramp", "slow-consumers", "smoke", "soak", "spike", "steady"]
GOOD = {"name": "x", "stages": [{"rate": 10, "duration": "2s"}]}


def test_ten_scenarios_are_shipped_and_every_one_is_valid() -> None:
    assert scenario.shipped() == SHIPPED
    for name in SHIPPED:
        found = scenario.load(name)
        assert found.about
        assert found.scheduled > 0
        assert found.name == name


def test_ten_mistakes_are_told_at_once() -> None:
    """Each with its place, and with the word that was probably meant."""
    with pytest.raises(UsageError) as caught:
        scenario.parse(
            {
                "name": "bad",
                "sed": 4,
                "queue": {"ordering": "fif", "count": 0},
                "consumers": {"batchsize": 3, "fail": 1.5, "work_s": "soon", "count": True},
                "producers": {"arrivals": "poison"},
                "messages": {"sizes": [[1]], "priorities": {"hihg": 1}},
                "stages": [{"rate": -1, "duration": "10 parsecs"}, {"rte": 4}],
            }
        )
    text = str(caught.value)
    for part in (
        "sed: unknown (did you mean seed?)",
        "queue.ordering: one of fifo, priority, deadline is wanted (did you mean fifo?)",
        "queue.count: 0 is below 1",
        "consumers.batchsize: unknown (did you mean batch_size?)",
        "consumers.fail: a share between 0 and 1",
        "consumers.work_s: seconds or text",
        "consumers.count: a whole number",
        "producers.arrivals",
        "messages.sizes",
        "(did you mean high?)",
        "stages[1].rate",
        "stages[1].duration",
        "stages[2].rte: unknown (did you mean rate?)",
        "stages[2].duration: missing",
    ):
        assert part in text
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"stages": []}, "at least one is needed"),
        ({"consumers": {"fail": 0.6, "abandon": 0.6}}, "more than all claims"),
        ({"queue": {"ordering": "priority"}}, "messages.priorities: missing"),
        ({"stages": [{"rate": 0, "duration": 5}]}, "not one message"),
        ({"queue": 3}, "a table is wanted"),
        ({"stages": [3]}, "a table is wanted"),
        ({"objectives": [3]}, "text is wanted"),
        ({"seed": "x"}, "int is wanted"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match="1 mistake:") as caught:
        scenario.parse({**GOOD, **change})
    assert word in str(caught.value)


def test_objectives_and_payloads_are_told_with_the_other_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        'objectives = ["error < 1%", "errors < 1%", "e2e.p99 < 5"]\n[messages]\nfiles = "none"\n'
        "priorities = { high = inf }\n"
        "[consumers]\ncount = -1\nvisibility_timeout_s = nan\n[[stages]]\nrate = nan\nduration = inf\n"
    )
    with pytest.raises(UsageError, match="has 8 mistakes") as caught:
        scenario.load(str(path), wrong=objectives.mistake)
    for part in (
        "`error < 1%`: error is no metric (did you mean errors?)",
        "`e2e.p99 < 5`: e2e.p99 is measured in us, ms, s or m, and there is none",
        f"messages.files: {tmp_path / 'none'} holds no payload",
        "messages.priorities",
        "consumers.count: -1 is below 0",
        "consumers.visibility_timeout_s",
        "stages[1].rate",
        "stages[1].duration",
    ):
        assert part in str(caught.value)


def test_payloads_lie_beside_the_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads them works in another folder."""
    (tmp_path / "bodies").mkdir()
    (tmp_path / "bodies" / "a.json").write_text("[1]")
    (tmp_path / "own.toml").write_text('[messages]\nfiles = "bodies"\n[[stages]]\nrate = 5\nduration = 2\n')
    monkeypatch.chdir(tmp_path)
    assert scenario.load("own.toml").messages.files == str(tmp_path / "bodies")
    (tmp_path / "bodies" / "a.json").write_text("[1")
    with pytest.raises(UsageError, match="is no JSON"):
        scenario.load("own.toml")


def test_durations_have_units() -> None:
    for text, value in (("250ms", 0.25), ("10s", 10), ("2m", 120), ("1h", 3600), (1.5, 1.5), ("x", None), (True, None)):
        assert values.seconds(text) == value
    for text, value in (("30", 30), ("1.5", 1.5), ("2m", 120)):
        assert values.duration(text, "--duration") == value
    for text in ("", "x", "²", "nan", "inf", "-5", "1.2.3", "5 parsecs"):
        with pytest.raises(UsageError, match="--duration"):
            values.duration(text, "--duration")


def test_the_command_lines_numbers_scale_the_stages() -> None:
    whole = scenario.adjusted(scenario.load("spike"), rate=100, duration_s=8)
    assert [stage.rate for stage in whole.stages] == [10, 100, 10]
    assert whole.duration_s == pytest.approx(8)
    assert not whole.closed
    assert scenario.adjusted(whole, users=3).closed
    assert scenario.adjusted(whole, users=3, rate=5).consumers.count == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0.0},
        {"rate": 1e9},
        {"rate": float("nan")},
        {"duration_s": -1.0},
        {"duration_s": 1e9},
        {"users": 0},
        {"users": 10**9},
        {"rate": 0.01},  # not one message
        {"rate": 1e6, "duration_s": 86_400.0},  # more than a disk holds
    ],
)
def test_impossible_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        scenario.adjusted(scenario.parse(GOOD), **wrong)  # type: ignore[arg-type]


def test_all_impossible_numbers_are_told_at_once() -> None:
    with pytest.raises(UsageError, match="3 mistakes:") as caught:
        scenario.adjusted(scenario.parse(GOOD), rate=0, duration_s=-1, users=0)
    for name in ("--rate", "--duration", "--users"):
        assert name in str(caught.value)


def test_a_load_that_only_preloads_has_no_rate() -> None:
    preloading = scenario.parse({**GOOD, "producers": {"preload": 10}, "stages": [{"rate": 0, "duration": "2s"}]})
    assert scenario.adjusted(preloading, duration_s=1).duration_s == 1
    with pytest.raises(UsageError, match="only preloads"):
        scenario.adjusted(preloading, rate=5)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="did you mean steady") as caught:
        scenario.load("stedy")
    assert "backlog-drain" in str(caught.value)
    with pytest.raises(UsageError, match="no scenario file"):
        scenario.load("nowhere/x.toml")


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[[stages]]\nrate = 5\nduration = 2\n")
    assert scenario.load(str(path)).scheduled == 10
    path.write_text("[[stages\n")
    with pytest.raises(UsageError, match="is no TOML"):
        scenario.load(str(path))
