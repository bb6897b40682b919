"""A short campaign, and the figures of the card on a history that is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.chaos import _card, campaign
from tests.e2e._history import Change

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]


def test_a_short_campaign_breaks_no_promise(tmp_path: Path) -> None:
    card = campaign.hold(tmp_path, seconds=12, workers=3, seed=20, lease=1.0)
    assert not card.findings, "\n".join(card.findings)
    assert card.jobs > 100
    assert card.kills + card.pauses + card.stops > 5
    assert card.executions > card.jobs / 2
    assert json.dumps(dict(card.rows()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--minutes", "0"], "--minutes 0 must be more than 0 and at most 600"),
        (["--minutes", "1e9"], "at most 600"),
        (["--workers", "0"], "--workers 0 must be 1 to 64"),
        (["--lease", "soon"], "--lease: "),
        (["--store", "postgres"], "invalid choice: 'postgres'"),
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


def test_the_machine_is_told_without_its_name() -> None:
    import platform

    assert "cores" in _card.machine()
    assert platform.node() not in _card.machine()
