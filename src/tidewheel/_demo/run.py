"""The demo from start to end. `main` is what `tidewheel demo` calls."""

from __future__ import annotations

import asyncio
import json as json_module
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidewheel import ConfigError, StoreFull
from tidewheel._demo.card import print_card
from tidewheel._demo.environment import OUTPUT, STORE
from tidewheel._demo.folder import OutputFolder
from tidewheel._demo.inputs import find_pictures
from tidewheel._demo.problem import DemoProblem
from tidewheel._demo.show import Show, Wishes
from tidewheel._demo.summary import Facts, as_json

if TYPE_CHECKING:
    from tidewheel import App

PICTURES = 24
CUSTOMERS = 40
INTERRUPTED = 130


def main(
    input: Path | None,
    output: Path,
    store: str | None = None,
    *,
    fresh: bool = False,
    kill: bool = True,
    plain: bool = False,
    json: bool = False,
    pictures: int = PICTURES,
    customers: int = CUSTOMERS,
) -> int:
    """Run the demo and print its summary.

    A run that was interrupted, in whatever way, goes on when it is started again with the same input and output: the
    jobs have ids that follow from what they are about, so none is enqueued twice.

    Args:
        input: a folder of pictures; None: `pictures` of them are drawn on the spot.
        output: where everything goes; made if it is not there.
        store: URL of the store; None: a SQLite file in the output folder.
        fresh: start over: remove what earlier runs left in `output`, and their jobs.
        kill: kill the worker in the middle (once for each output) and start a second one.
        plain: print lines in place of the moving picture (also when stdout is no terminal).
        json: print one JSON document on stdout; the lines go to stderr.
        pictures: how many to draw on the spot.
        customers: how many there are.

    Returns:
        The exit code: 0 all went well (dead letters for unreadable pictures included), 1 something went wrong,
        2 it was asked for something impossible, 130 interrupted with Ctrl-C.

    Raises:
        TidewheelError: the store cannot be used.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that has no tick mark
    try:
        facts = asyncio.run(_demo(Wishes(input, output, store, fresh, kill, plain, json, pictures, customers)))
    except DemoProblem as problem:
        _print_problem(problem, json=json)
        return problem.code
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("Interrupted. Nothing is lost: the same command goes on where it stopped.\n")
        return INTERRUPTED
    if json:
        _print_json(as_json(facts))
    else:
        print_card(facts, sys.stdout)
    return 1 if facts.wrong else 0


def _need_parts() -> None:
    """See that what the demo works with is there.

    Raises:
        DemoProblem: it is not.
    """
    parts = {"PIL": "Pillow", "aiosmtplib": "aiosmtplib", "aiosmtpd": "aiosmtpd", "xlsxwriter": "XlsxWriter"}
    missing = [name for module, name in parts.items() if find_spec(module) is None]
    remedy = 'Install what the demo needs: pip install "tidewheel[demo]"'
    if missing:
        raise DemoProblem(f"The demo needs {', '.join(missing)}, which is not installed in {sys.prefix}.", remedy)
    from PIL import features

    missing = [name for name in ("avif", "webp", "jpg") if not features.check(name)]
    if missing:
        raise DemoProblem(f"The Pillow in {sys.prefix} cannot write {', '.join(missing)}.", remedy)


async def _demo(wishes: Wishes) -> Facts:
    _need_parts()
    folder = OutputFolder.at(wishes.output)
    if wishes.store is not None and wishes.store.startswith("memory:"):
        raise DemoProblem(
            f"--store {wishes.store} lives in one process; the demo's worker is another one.",
            "Leave --store away, or name one that processes share, such as sqlite:///demo.db.",
        )
    inputs = None if wishes.input is None else find_pictures(wishes.input, leave_out=folder.root)
    folder.prepare()
    with folder.lock():
        if wishes.fresh:
            folder.clear(keep=None if inputs is None else inputs.folder)
            folder.prepare()
        folder.need_room()
        app = _open_app(wishes.store or folder.store_url, folder)
        try:
            async with app:
                return await Show(wishes, folder, app, inputs).run()
        except StoreFull as error:
            raise DemoProblem(str(error), "Free some space and run the demo again: it goes on.", code=1) from error


def _open_app(url: str, folder: OutputFolder) -> App:
    """The app of `tasks`, told where things are. The worker process is told the same."""
    os.environ[STORE], os.environ[OUTPUT] = url, str(folder.root)
    from tidewheel._demo import tasks

    if tasks.app.url != url:
        raise ConfigError(f"This process has run a demo on {tasks.app.url} already; run the one on {url} in another.")
    return tasks.app


def _print_problem(problem: DemoProblem, *, json: bool) -> None:
    sys.stderr.write(f"Error: {problem.what}\n  {problem.remedy}\n")
    if json:
        _print_json({"error": {"message": problem.what, "remedy": problem.remedy, "code": problem.code}})


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json_module.dumps(document, indent=2) + "\n")
