"""The supervisor of worker processes, with children that are no processes and a clock that stands still."""

from __future__ import annotations

import logging
import queue
import signal
from typing import Any

import pytest

from tidewheel._engine.supervisor import (
    FIRST_DELAY,
    HEALTHY,
    HURRY,
    LONGEST_DELAY,
    MARGIN,
    RECYCLE,
    USAGE,
    Exited,
    Signalled,
    Supervisor,
    how_it_ended,
)


class Fake:
    """A child that ends when the test says so."""

    def __init__(self, number: int, pid: int) -> None:
        self.number = number
        self.pid = pid
        self.signals: list[int] = []
        self.killed = False
        self._code: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait(self) -> int:
        return self._code.get()

    def stop(self, signum: int) -> None:
        self.signals.append(signum)

    def kill(self) -> None:
        self.killed = True

    def end(self, code: int) -> Exited:
        self._code.put(code)  # lets the thread that waits go
        return Exited(self.number, self.pid, code)


class Nursery:
    """Makes fakes and a supervisor for them."""

    def __init__(self, count: int, *, grace: float = 30, dice: float = 1.0) -> None:
        self.children: list[Fake] = []
        self.broken = False
        self.supervisor = Supervisor(self.spawn, count, grace=grace, clock=lambda: 0.0, dice=lambda: dice)

    def spawn(self, number: int) -> Fake:
        if self.broken:
            raise OSError("no more processes")
        self.children.append(Fake(number, 100 + len(self.children)))
        return self.children[-1]


@pytest.fixture
def two() -> Nursery:
    made = Nursery(2)
    made.supervisor.tick(0)
    return made


def test_it_starts_all_children(two: Nursery) -> None:
    assert [child.number for child in two.children] == [1, 2]
    assert two.supervisor.due() is None
    assert not two.supervisor.finished


def test_a_crashed_child_comes_back_later_and_later(two: Nursery) -> None:
    delays = []
    now = 0.0
    for _ in range(9):
        two.supervisor.handle(two.children[-1].end(-signal.SIGKILL), now)
        due = two.supervisor.due()
        assert due is not None
        delays.append(due - now)
        two.supervisor.tick(due - 0.01)
        before = len(two.children)
        two.supervisor.tick(due)
        assert len(two.children) == before + 1
        now = due
    assert delays[:4] == [FIRST_DELAY, FIRST_DELAY * 2, FIRST_DELAY * 4, FIRST_DELAY * 8]
    assert delays[-1] == LONGEST_DELAY


def test_the_delay_is_jittered_by_half() -> None:
    made = Nursery(1, dice=0.0)
    made.supervisor.tick(0)
    made.supervisor.handle(made.children[0].end(1), 0)
    assert made.supervisor.due() == FIRST_DELAY / 2


def test_a_child_that_lived_long_is_forgiven(two: Nursery) -> None:
    two.supervisor.handle(two.children[0].end(1), 1)
    two.supervisor.tick(10)
    two.supervisor.handle(two.children[2].end(1), 10 + HEALTHY)
    assert two.supervisor.due() == 10 + HEALTHY + FIRST_DELAY


def test_a_child_that_asks_to_be_recycled_is_replaced_at_once(two: Nursery) -> None:
    two.supervisor.handle(two.children[1].end(RECYCLE), 5)
    assert two.supervisor.due() == 5
    two.supervisor.tick(5)
    assert [child.number for child in two.children] == [1, 2, 2]


def test_children_that_finished_are_not_replaced(two: Nursery) -> None:
    for child in tuple(two.children):
        two.supervisor.handle(child.end(0), 1)
    assert two.supervisor.finished
    assert len(two.children) == 2


def test_a_child_that_cannot_work_ends_them_all(two: Nursery) -> None:
    two.supervisor.handle(two.children[0].end(USAGE), 1)
    assert two.children[1].signals == [signal.SIGTERM]
    two.supervisor.handle(two.children[1].end(0), 2)
    assert two.supervisor.finished
    assert len(two.children) == 2


def test_signals_go_on_to_the_children_and_the_late_are_killed(two: Nursery) -> None:
    two.supervisor.handle(Signalled(signal.SIGTERM), 100)
    assert [child.signals for child in two.children] == [[signal.SIGTERM]] * 2
    assert two.supervisor.due() == 100 + 30 + MARGIN
    two.supervisor.handle(two.children[0].end(0), 101)
    two.supervisor.tick(100 + 30 + MARGIN)
    assert [child.killed for child in two.children] == [False, True]
    two.supervisor.handle(two.children[1].end(-9), 150)
    assert two.supervisor.finished


def test_a_second_signal_is_meant(two: Nursery) -> None:
    two.supervisor.handle(Signalled(signal.SIGINT), 100)
    two.supervisor.handle(Signalled(signal.SIGINT), 101)
    assert two.children[0].signals == [signal.SIGINT] * 2
    assert two.supervisor.due() == 101 + HURRY


def test_nobody_is_started_while_stopping(two: Nursery) -> None:
    two.supervisor.handle(two.children[0].end(1), 1)
    two.supervisor.handle(Signalled(signal.SIGTERM), 1)
    two.supervisor.handle(two.children[1].end(RECYCLE), 2)
    two.supervisor.tick(1000)
    assert len(two.children) == 2
    assert two.supervisor.finished


def test_news_of_a_child_that_was_replaced_is_old_news(two: Nursery) -> None:
    two.supervisor.handle(Exited(1, 999, 1), 1)
    assert two.supervisor.due() is None


def test_a_child_that_cannot_be_started_is_tried_again(two: Nursery, caplog: pytest.LogCaptureFixture) -> None:
    two.broken = True
    two.supervisor.handle(two.children[0].end(RECYCLE), 1)
    two.supervisor.tick(1)
    assert "no more processes" in caplog.text
    two.broken = False
    two.supervisor.tick(1 + FIRST_DELAY)
    assert len(two.children) == 3


@pytest.mark.parametrize(("last", "code"), [(0, 0), (USAGE, USAGE)])
def test_it_runs_to_the_end(last: int, code: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    codes = iter([RECYCLE, RECYCLE, last])
    made = Nursery(1)
    spawn = made.spawn

    def quick(number: int) -> Any:
        child = spawn(number)
        child.end(next(codes))
        return child

    made.supervisor._spawn = quick
    assert made.supervisor.run() == code
    assert caplog.text.count("asked to be recycled") == 2


def test_a_signal_ends_it() -> None:
    made = Nursery(1)
    spawn = made.spawn

    def stopping(number: int) -> Fake:
        child = spawn(number)
        setattr(child, "stop", lambda signum: child.end(-signum))  # noqa: B010 -- mypy minds a plain assignment
        made.supervisor.stop(signal.SIGTERM)
        return child

    made.supervisor._spawn = stopping
    before = signal.getsignal(signal.SIGTERM)
    assert made.supervisor.run() == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "ended with exit code 3"), (-9, "was killed by SIGKILL"), (-250, "was killed by signal 250")],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words
