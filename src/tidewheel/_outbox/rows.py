"""The table of an outbox: its name, its statements, and what a relay does with its rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple, Protocol

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?")


class Row(NamedTuple):
    """One job on its way."""

    seq: int
    id: str
    job: str
    """JSON text of a `NewJob`."""


class Table(NamedTuple):
    """The name of the table, as statements write it, and the statement that makes it."""

    name: str
    ddl: str


def check_table(name: str) -> list[str]:
    """What is wrong with a table's name."""
    if _NAME.fullmatch(name):
        return []
    return [f"table={name!r} must be a name of letters, digits and _, such as 'outbox' or 'shop.outbox'."]


def quoted(name: str) -> str:
    """The name for a statement."""
    return ".".join(f'"{part}"' for part in name.split("."))


class Taken(Protocol):
    """Rows that a relay is handing over, in their order."""

    rows: Sequence[Row]

    async def remove(self, rows: Sequence[Row]) -> None:
        """They are handed over."""

    async def set_aside(self, row: Row, problem: str) -> None:
        """It cannot be: keep it for people, and do not take it again."""


class Rows(Protocol):
    """An outbox in one database, as its relay and its writers use it."""

    table: Table

    async def create(self) -> None:
        """Create the table where it is not there yet."""

    async def write(self, connection: object, rows: Sequence[tuple[str, str]]) -> None:
        """Add rows of (id, job) over a connection of the caller's, in his transaction."""

    def take(self, limit: int) -> AbstractAsyncContextManager[Taken]:
        """The oldest rows that no other relay has; what is done to them counts when the block ends well."""

    async def close(self) -> None:
        """Let go of the database. The next call connects again."""
