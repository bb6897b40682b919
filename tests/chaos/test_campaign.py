"""A short campaign, and the figures of the card on a history that is known."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.chaos import _card, campaign, table
from tests.chaos._grounds import HERE
from tests.e2e._history import Change
from tests.servers._process import NoServer, missing

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]


def _held(folder: Path, store: str) -> _card.Card:
    try:
        return campaign.hold(folder, store, seconds=10, workers=3, seed=20, lease=1.0, pace=10)
    except NoServer as error:
        missing(error)
        raise


@pytest.mark.parametrize("store", HERE)
def test_a_short_campaign_breaks_no_promise(store: str, tmp_path: Path) -> None:
    card = _held(tmp_path, store)
    assert not card.findings, "\n".join(card.findings)
    assert card.jobs > 60
    assert card.limited > 5
    assert card.parents > 2
    assert card.kills + card.freezes + card.stops > 3
    assert card.restarts or store == "sqlite"
    assert card.executions > card.jobs / 2
    assert sum(card.calls_failed.values()) > 10
    shown = table.table([card, _card.Card(**json.loads(json.dumps(asdict(card))))])
    assert f"| {card.version} | {card.version} |" in shown
    assert "| **jobs lost** | **0** | **0** |" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "0"], "--minutes 0 must be more than 0 and at most 600"),
        (["--minutes", "1e9"], "at most 600"),
        (["--workers", "0"], "--workers 0 must be 1 to 64"),
        (["--lease", "soon"], "--lease: "),
        (["--pace", "0"], "--pace 0 must be more than 0 and at most 100"),
        (["--store", "mongo"], "invalid choice: 'mongo'"),
    ],
)
def test_wrong_options_are_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        campaign.main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_longest_wait_counts_only_while_something_waits() -> None:
    def change(before: str | None, after: str) -> Change:
        return Change("a", before, after, 0, 0, 0)

    story = [
        (0.0, change(None, "available")),
        (1.0, change("available", "running")),
        (9.0, change("running", "completed")),  # nothing waited
        (10.0, change(None, "available")),
        (11.0, change("available", "running")),
        (12.0, change(None, "available")),
        (15.0, change("running", "completed")),
        (17.0, change("available", "running")),
    ]
    assert _card.longest_wait([one for _, one in story], [at for at, _ in story]) == pytest.approx(3.0)


Steps = list[tuple[str, float, int | None]]


def _idle(steps: Steps) -> float:
    return _card.longest_idle([{"what": what, "at": at, "worker": worker} for what, at, worker in steps])


def test_a_worker_is_idle_from_the_return_of_the_store_until_it_starts_something() -> None:
    steps: Steps = [
        ("start", 1.0, 1), ("start", 1.0, 2), ("start", 1.0, 3), ("down", 2.0, None), ("up", 3.0, None),
        ("end", 3.1, 1), ("start", 3.5, 1),  # at work again after half a second; what ended had begun before
        ("gone", 5.0, 2),  # killed before it did anything
        ("start", 5.5, 4),  # it was not here before
        ("start", 9.0, 3), ("down", 9.5, None), ("up", 10.0, None), ("start", 10.1, 1), ("over", 12.0, None),
        ("start", 99.0, 3),  # after the load there may be nothing to do
    ]  # fmt: skip
    assert _idle(steps) == pytest.approx(6.0)
    assert _idle(steps[:8]) == pytest.approx(2.0)


@pytest.mark.parametrize("end", ["gone", "paused", "told to stop"])
def test_nobody_waits_for_a_worker_in_whose_name_a_process_still_writes(end: str) -> None:
    steps: Steps = [("start", 1.0, 1), (end, 2.0, 1), ("start", 2.01, 1), ("up", 3.0, None), ("down", 40.0, None)]
    assert _idle(steps) == 0.0


def test_a_worker_that_goes_on_counts_again_from_its_next_start() -> None:
    steps: Steps = [("start", 1.0, 1), ("paused", 2.0, 1), ("up", 3.0, None), ("resumed", 4.0, 1)]
    steps += [("down", 9.0, None), ("up", 10.0, None), ("start", 11.0, 1), ("up", 12.0, None), ("start", 15.0, 1)]
    assert _idle(steps) == pytest.approx(3.0)


def test_the_machine_is_told_without_its_name() -> None:
    import platform

    assert "cores" in _card.machine("SQLite 3")
    assert platform.node() not in _card.machine("SQLite 3")
