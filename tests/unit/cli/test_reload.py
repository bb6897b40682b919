"""Watching files, and the child of `tidewheel dev` that comes and goes with them."""

from __future__ import annotations

import os
import queue
import signal
from pathlib import Path

import pytest

from tidewheel._cli import dev
from tidewheel._cli.reload import Watcher, source_folder
from tidewheel._engine.supervisor import Exited


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.py", "sub/b.py", "notes.txt", ".hidden/c.py", "__pycache__/d.py", "env/pyvenv.cfg", "env/e.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def test_what_changed(tree: Path) -> None:
    watcher = Watcher([tree])
    assert watcher.watched == 2
    assert watcher.changed() == []
    os.utime(tree / "a.py", ns=(1, 1))
    (tree / "new.py").write_text("")
    (tree / "sub" / "b.py").unlink()
    (tree / "notes.txt").write_text("more")
    (tree / "env" / "e.py").write_text("more")
    assert [Path(name).name for name in watcher.changed()] == ["a.py", "new.py", "b.py"]
    assert watcher.changed() == []


def test_it_has_a_limit(tree: Path) -> None:
    watcher = Watcher([tree], limit=1)
    assert (watcher.watched, watcher.cut) == (1, True)
    assert Watcher([tree / "gone"]).watched == 0


def test_the_folder_of_an_app(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    monkeypatch.syspath_prepend(str(tree))
    (tree / "sub" / "__init__.py").write_text("raise ImportError('never imported here')")
    assert source_folder("sub.b:app") == tree / "sub"
    assert source_folder("a:app") == tree
    assert source_folder("missing:app") == tree


class Fake:
    """A child that ends at the first signal, unless it is stubborn."""

    def __init__(self, pid: int, *, stubborn: bool = False, code: int | None = None) -> None:
        self.pid = pid
        self.stubborn = stubborn
        self.signals: list[int] = []
        self._code: queue.SimpleQueue[int] = queue.SimpleQueue()
        if code is not None:
            self._code.put(code)

    def wait(self) -> int:
        return self._code.get()

    def stop(self, signum: int) -> None:
        self.signals.append(signum)
        if not self.stubborn:
            self._code.put(0)

    def kill(self) -> None:
        self.signals.append(signal.SIGKILL)
        self._code.put(-signal.SIGKILL)


class Changes(Watcher):
    """Says what the test wrote down, look by look; then asks for the end."""

    def __init__(self, looks: list[list[str]], *, early: bool = False) -> None:
        self.looks = looks
        self.early = early
        self.reloader: dev.Reloader | None = None

    def changed(self) -> list[str]:
        found = self.looks.pop(0) if self.looks else []
        if not self.looks and (self.early or not found):
            assert self.reloader is not None
            self.reloader.stop(signal.SIGINT)
        return found


def follow(looks: list[list[str]], children: list[Fake], *, early: bool = False) -> list[str]:
    """Run with these looks; the signal comes with the last one (`early`) or after it. Gives what was said."""
    said: list[str] = []
    watcher = Changes(looks, early=early)
    made = dev.Reloader(lambda number: children[number - 1], watcher, say=said.append)
    watcher.reloader = made
    assert made.run() == 0
    return said


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "POLL", 0)
    monkeypatch.setattr(dev, "PATIENCE", 0)


def test_a_change_starts_the_next_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "PATIENCE", 10)
    children = [Fake(1), Fake(2)]
    assert follow([[], ["/x/a.py", "/x/b.py"], []], children) == ["/x/a.py and 1 more changed: reloading."]
    assert [child.signals for child in children] == [[signal.SIGTERM], [signal.SIGINT]]


def test_a_child_that_does_not_end_is_killed() -> None:
    children = [Fake(1, stubborn=True), Fake(2)]
    follow([["a.py"]], children)
    assert signal.SIGKILL in children[0].signals


def test_a_child_that_ended_by_itself_waits_for_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "PATIENCE", 10)
    monkeypatch.setattr(dev, "POLL", 10)
    children = [Fake(1, code=2), Fake(2)]
    said = follow([["a.py"]], children, early=True)
    assert said[0].startswith("The worker ended with exit code 2. Waiting for a change")
    assert children[0].signals == []
    assert children[1].signals == [signal.SIGINT]


def test_news_of_an_earlier_child_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "PATIENCE", 10)
    children = [Fake(1)]
    watcher = Changes([[]])
    made = dev.Reloader(lambda number: children[number - 1], watcher, say=lambda _text: None)
    watcher.reloader = made
    made._events.put(Exited(0, 99, 1))
    assert made.run() == 0
    assert children[0].signals == [signal.SIGINT]
