"""Functions that children import: plain, at the top level of a module, as `run_in="process"` asks for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tidewheel import App, BatchItem, Cancel, Retry, Snooze, current_job

app = App("memory://")
"""Children load it with this module; tests use apps of their own."""


@app.task(run_in="process")
def decorated(value: int) -> int:
    return value * 2


def double(value: int) -> int:
    return value * 2


def whoami() -> dict[str, Any]:
    job = current_job()
    job.progress({"half": True})
    job.log.warning("caf%s", "\udce9")
    return {"pid": os.getpid(), "id": job.id, "attempt": job.attempt, "fence": job.fence, "meta": job.meta}


class Simple(Exception):
    """Comes back as it is."""


class Demanding(Exception):
    """Pickles, but does not come back: its `__init__` wants two arguments."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(f"{code} {text}")


class Unpicklable(Exception):
    def __reduce__(self) -> NoReturn:
        raise TypeError("never")


def local() -> Exception:
    class Local(Exception): ...

    return Local("nowhere to be found")


ERRORS: dict[str, Callable[[], BaseException]] = {
    "simple": lambda: Simple("caf\udce9"),
    "demanding": lambda: Demanding(404, "no such customer"),
    "unpicklable": lambda: Unpicklable("stays here"),
    "local": local,
    "retry": lambda: Retry("later", after="1h"),
    "hold": lambda: Retry("429", after="1h", hold=True),
    "snooze": lambda: Snooze("1h"),
    "cancel": lambda: Cancel("not needed"),
    "stop": lambda: StopIteration("empty"),
    "interrupt": KeyboardInterrupt,
}
ENDS: dict[str, Callable[[], object]] = {
    "sys.exit": lambda: sys.exit(3),
    "os._exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "unencodable": object,
    "nan": lambda: float("nan"),
}


def fail(how: str) -> object:
    if how in ERRORS:
        error = ERRORS[how]()
        raise error
    return ENDS[how]()


def spin(file: str) -> str:
    """Says that it runs, then computes until asked to stop."""
    Path(file).write_text(str(os.getpid()))
    while not current_job().wait_stopped(0.01):
        pass
    return current_job().stop_reason


def deaf(file: str) -> None:
    """Says that it runs, then never listens."""
    Path(file).write_text(str(os.getpid()))
    never = threading.Event()
    while not never.wait(0.01):
        pass


def noisy() -> str:
    sys.stdout.write("from the child\n")
    sys.stdout.flush()
    sys.stdout.write("and again\n")  # stays in the buffer
    sys.stderr.write("to stderr\n")
    os.write(1, b"raw\n")
    subprocess.run([sys.executable, "-c", "print('grandchild')"], check=True)
    return sys.stdin.read()


def many(words: list[str]) -> list[object]:
    """A batch whose items fail in their own ways."""
    return [ERRORS[word]() if word in ERRORS else word.upper() for word in words]


def many_items(items: list[BatchItem[int]]) -> list[str]:
    """A batch that knows its jobs."""
    for item in items:
        item.job.progress(item.value)
        item.job.log.info("has %d", item.value)
    return [item.job.fence for item in items]


def many_ends(words: list[str]) -> None:
    """A batch that takes its process along."""
    for word in words:
        if word in ENDS:
            ENDS[word]()


def many_spin(items: list[BatchItem[str]]) -> list[str]:
    """Says that it runs, then computes until all of its jobs should stop."""
    Path(items[0].value).write_text(str(os.getpid()))
    while not all(item.job.wait_stopped(0.01) for item in items):
        pass
    return [item.job.stop_reason for item in items]
