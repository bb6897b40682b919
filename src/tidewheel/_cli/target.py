"""Which store an admin command talks to, and one event loop to talk in."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from tidewheel._cli.errors import NOT_FOUND, STORE, USAGE, CliError, did_you_mean, listed
from tidewheel._cli.load import load_app

if TYPE_CHECKING:
    from tidewheel import App

T = TypeVar("T")


def find_app(app: str | None, store: str | None) -> App:
    """The app that --app, --store or the environment names; for a bare store an app without tasks.

    What is written on the command line wins over the environment, an app over a store.
    """
    if app and store:
        raise CliError("--app and --store exclude one another: an app has its store.", remedy="Give one.", code=USAGE)
    if not app and not store:
        app, store = os.environ.get("TIDEWHEEL_APP"), os.environ.get("TIDEWHEEL_STORE")
    if app:
        return load_app(app)
    if store:
        from tidewheel import App

        return App(store)
    raise CliError(
        "No store was named.",
        remedy="Give --app module:attribute or --store URL (sqlite:///jobs.db), or set TIDEWHEEL_APP or TIDEWHEEL_STORE.",
        code=USAGE,
    )


def ask(app: str | None, store: str | None, question: Callable[[App], Awaitable[T]], *, create: bool = False) -> T:
    """Open the store, ask, close it. Unless `create`, a SQLite file that is not there stays so.

    Raises:
        CliError: no store was named, or there is none at that place.
    """
    found = find_app(app, store)
    if not create:
        refuse_missing_file(found)

    async def conversation() -> T:
        async with found:
            return await question(found)

    return asyncio.run(conversation())


def sqlite_file(url: str) -> Path | None:
    """The file a SQLite URL names; None for other stores."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc:
        return None
    path = unquote(parts.path).removeprefix("/")
    return Path(path) if path else None


def refuse_missing_file(app: App) -> None:
    """Looking must not create: a mistyped path would answer with an empty store."""
    file = sqlite_file(app.url)
    if file is not None and not file.exists():
        raise CliError(
            f"There is no database file {file.absolute()}.",
            remedy="Check the path. `tidewheel migrate` creates an empty store; so does the first worker or enqueue.",
            code=STORE,
        )


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    return re.sub(r"(?<=password=)[^&]*", "***", re.sub(r"(?<=//)([^/?#]*?):[^/?#]*@", r"\1:***@", url))


def unknown(noun: str, name: str, known: Iterable[str], then: str = "") -> CliError:
    """`There is no queue 'emial'`, with the nearest name or the list of those there are."""
    names = list(known)
    remedy = did_you_mean(name, names) or (f"There is: {listed(names)}." if names else f"There is no {noun} yet.")
    return CliError(f"There is no {noun} {name!r}.", remedy=remedy, then=then, code=NOT_FOUND)
