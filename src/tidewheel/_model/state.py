"""The states of a job and the table that says who may move it where.

The table is data so that the conformance suite can walk every pair, allowed and forbidden.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a job stands. The last three are final: only a person moves a job out of them."""

    SCHEDULED = "scheduled"
    """Waits for its time (`delay`, `run_at`, or a snooze)."""
    AVAILABLE = "available"
    """May be claimed now."""
    PARKED = "parked"
    """May be claimed when what stopped it is over: a limit that is shut, or children that have not ended."""
    RUNNING = "running"
    """Held by a worker under a lease."""
    RETRYABLE = "retryable"
    """Failed; waits for its next attempt."""
    COMPLETED = "completed"
    """Its handler returned."""
    CANCELLED = "cancelled"
    """Somebody, or its own handler, said stop."""
    DISCARDED = "discarded"
    """Given up: a dead letter, with its error and stack kept."""

    @property
    def final(self) -> bool:
        """True when no worker will touch the job again."""
        return self in FINAL_STATES


class Move(StrEnum):
    """What may move a job from one state to another."""

    CLAIM = "claim"
    PARK = "park"
    OPEN = "open"
    COMPLETE = "complete"
    RETRY_LATER = "retry_later"
    SNOOZE = "snooze"
    RELEASE = "release"
    CANCEL_OUTCOME = "cancel_outcome"
    DISCARD = "discard"
    PROMOTE = "promote"
    RESCUE = "rescue"
    ALTER_CANCEL = "alter_cancel"
    ALTER_RETRY = "alter_retry"
    ALTER_RUN_NOW = "alter_run_now"
    EXPIRE = "expire"
    """Its time is over before it started."""
    REPLACE = "replace"
    """An enqueue with the same key changed it."""
    CHILD_ENDED = "child_ended"
    """A job it waited for has ended."""


_S = JobState

FINAL_STATES: Final = frozenset({_S.COMPLETED, _S.CANCELLED, _S.DISCARDED})
LIVE_STATES: Final = frozenset(set(_S) - FINAL_STATES)
WAITING_STATES: Final = frozenset({_S.SCHEDULED, _S.RETRYABLE})

MOVES: Final[dict[tuple[JobState, Move], frozenset[JobState]]] = {
    (_S.SCHEDULED, Move.PROMOTE): frozenset({_S.AVAILABLE}),
    (_S.RETRYABLE, Move.PROMOTE): frozenset({_S.AVAILABLE}),
    (_S.SCHEDULED, Move.ALTER_RUN_NOW): frozenset({_S.AVAILABLE}),
    (_S.RETRYABLE, Move.ALTER_RUN_NOW): frozenset({_S.AVAILABLE}),
    (_S.AVAILABLE, Move.CLAIM): frozenset({_S.RUNNING}),
    (_S.AVAILABLE, Move.PARK): frozenset({_S.PARKED}),
    (_S.PARKED, Move.OPEN): frozenset({_S.AVAILABLE}),
    (_S.RUNNING, Move.COMPLETE): frozenset({_S.COMPLETED}),
    (_S.RUNNING, Move.RETRY_LATER): frozenset({_S.RETRYABLE}),
    (_S.RUNNING, Move.SNOOZE): frozenset({_S.SCHEDULED}),
    (_S.RUNNING, Move.RELEASE): frozenset({_S.AVAILABLE}),
    (_S.RUNNING, Move.CANCEL_OUTCOME): frozenset({_S.CANCELLED}),
    (_S.RUNNING, Move.DISCARD): frozenset({_S.DISCARDED}),
    # A rescued job whose attempts or crashes are used up is discarded; one that was asked to
    # cancel while its worker died is cancelled.
    (_S.RUNNING, Move.RESCUE): frozenset({_S.AVAILABLE, _S.DISCARDED, _S.CANCELLED}),
    # A running job only gets `cancel_requested`; its worker ends it.
    (_S.RUNNING, Move.ALTER_CANCEL): frozenset({_S.RUNNING}),
    (_S.SCHEDULED, Move.ALTER_CANCEL): frozenset({_S.CANCELLED}),
    (_S.AVAILABLE, Move.ALTER_CANCEL): frozenset({_S.CANCELLED}),
    (_S.PARKED, Move.ALTER_CANCEL): frozenset({_S.CANCELLED}),
    (_S.RETRYABLE, Move.ALTER_CANCEL): frozenset({_S.CANCELLED}),
    # With children that run again it waits for them.
    (_S.COMPLETED, Move.ALTER_RETRY): frozenset({_S.AVAILABLE, _S.PARKED}),
    (_S.CANCELLED, Move.ALTER_RETRY): frozenset({_S.AVAILABLE, _S.PARKED}),
    (_S.DISCARDED, Move.ALTER_RETRY): frozenset({_S.AVAILABLE, _S.PARKED}),
    (_S.SCHEDULED, Move.EXPIRE): frozenset({_S.CANCELLED}),
    (_S.AVAILABLE, Move.EXPIRE): frozenset({_S.CANCELLED}),
    (_S.PARKED, Move.EXPIRE): frozenset({_S.CANCELLED}),
    (_S.RETRYABLE, Move.EXPIRE): frozenset({_S.CANCELLED}),
    (_S.SCHEDULED, Move.REPLACE): frozenset({_S.SCHEDULED, _S.AVAILABLE}),
    (_S.AVAILABLE, Move.REPLACE): frozenset({_S.AVAILABLE}),
    (_S.PARKED, Move.REPLACE): frozenset({_S.PARKED, _S.AVAILABLE}),
    (_S.RETRYABLE, Move.REPLACE): frozenset({_S.RETRYABLE, _S.AVAILABLE}),
    (_S.PARKED, Move.CHILD_ENDED): frozenset({_S.PARKED, _S.SCHEDULED, _S.AVAILABLE, _S.DISCARDED}),
}
"""(state, move) -> the states it may lead to. A pair that is missing is forbidden: the row stays as it is."""
