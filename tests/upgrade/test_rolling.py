"""An upgrade while work goes on: workers of the code before and of today share a store, and every job finishes."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Final

import pytest
from tests.upgrade._machine import Machine, a_parent_is_told_by_todays, finished

from tidewheel import App, JobState

pytestmark = pytest.mark.timeout(120)
JOBS: Final = 150


@pytest.fixture
def migrated(machine: Machine, url: str) -> Callable[[], tuple[int, int]]:
    """A store that the code before made and used; called, it is migrated from here."""
    machine.run("before", "seed", url, str(JOBS))
    app = App(url)

    def migrate() -> tuple[int, int]:
        return app.run_sync(app.migrate())

    return migrate


def test_workers_of_both_codes_share_a_store_that_is_migrated_under_them(
    machine: Machine, url: str, migrated: Callable[[], tuple[int, int]]
) -> None:
    early = machine.working("before", url)
    old, new = migrated()
    assert new - old <= 1
    machine.run("before", "add", url, str(JOBS))
    late = machine.working("before", url)  # one that starts only now, behind the migration
    machine.run("today", "drain", url)

    for child in (early, late):
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate()
        assert child.returncode == 0, errors
        assert not re.search("Traceback|Error", errors), errors
    once = (JobState.COMPLETED, 1)
    plain = {f"{sort}-{number}": once for sort in ("wait", "add") for number in range(JOBS)}
    assert finished(url) == plain | {
        "ended-plain": once,
        "ended-dead": (JobState.DISCARDED, 1),
        "ended-called-off": (JobState.CANCELLED, 1),
        "again": (JobState.COMPLETED, 2),
        "snoozed": once,
        "late": once,
    }


def test_what_today_left_waiting_is_finished_by_the_code_before(
    machine: Machine, url: str, migrated: Callable[[], tuple[int, int]]
) -> None:
    """Going back after an upgrade: the schema stays, the code returns."""
    migrated()
    machine.run("today", "add", url, str(JOBS))
    machine.run("before", "drain", url)

    states = {state for state, _ in finished(url).values()}
    assert states == {JobState.COMPLETED, JobState.DISCARDED, JobState.CANCELLED}


def test_what_the_code_before_tells_nobody_is_told_by_todays(machine: Machine, url: str) -> None:
    a_parent_is_told_by_todays(machine, url)
