"""What an operation of the store gets to work with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tidewheel._env import Uuid7
from tidewheel._model.worker import Wakeup
from tidewheel._store.postgres.habit import Habit
from tidewheel._store.postgres.sql import CLOCK, statement

if TYPE_CHECKING:
    from tidewheel._store.postgres.connect import Connection

_IDS: Final = Uuid7()


class Call:
    """A connection, the schema, and a place for hints that go out after the commit.

    With a `voice` (channel and word) that there is work may be said by the statement itself; `said` tells that it was.
    `habit` is the session's. `new_id` makes the ids of jobs that the store itself enqueues.
    """

    __slots__ = ("connection", "habit", "hints", "new_id", "said", "schema", "voice")

    def __init__(
        self,
        connection: Connection,
        schema: str,
        voice: tuple[str, str] | None = None,
        habit: Habit | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self.connection = connection
        self.schema = schema
        self.voice = voice
        self.habit = habit or Habit()
        self.new_id = new_id or _IDS
        self.hints: set[Wakeup] = set()
        self.said = False

    def sql(self, name: str) -> str:
        """A statement."""
        return statement(name, self.schema)


async def clock(call: Call, now: int | None) -> int:
    """Now, by the server's clock if nobody says otherwise."""
    return now if now is not None else int(await call.connection.fetchval(f"SELECT {CLOCK}"))
