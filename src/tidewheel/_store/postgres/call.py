"""What an operation of the store gets to work with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidewheel._model.worker import Wakeup
from tidewheel._store.postgres.sql import statement

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Connection


class Call:
    """A connection, the schema, and a place for hints that go out after the commit.

    With a `voice` (channel and word) that there is work may be said by the statement itself; `said` tells that it was.
    `limited` is the session's: where jobs with limits were met last, so which way to try first.
    """

    __slots__ = ("connection", "hints", "limited", "said", "schema", "voice")

    def __init__(
        self,
        connection: Connection,
        schema: str,
        voice: tuple[str, str] | None = None,
        limited: set[str] | None = None,
    ) -> None:
        self.connection = connection
        self.schema = schema
        self.voice = voice
        self.limited = set[str]() if limited is None else limited
        self.hints: set[Wakeup] = set()
        self.said = False

    def sql(self, name: str) -> str:
        """A statement."""
        return statement(name, self.schema)
