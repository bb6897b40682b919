"""The gates that a job must pass before it starts, as it carries them: worked out once, when it is enqueued."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

Order: TypeAlias = Literal["", "block", "skip"]
"""Whether the jobs of a gate start one by one in the order of their line: no; yes, and who was first keeps the place until
he has ended for good; yes, and he keeps it for an attempt only, so that the next one passes while he waits for his retry.
"""


class Pass(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One gate on a job's way."""

    limit: str
    value: str = ""
    """The key inside the limit; empty for a limit without keys."""
    cost: int = 1
    """How much of a rate the start takes. A slot is a slot."""
    holds: bool = True
    """It takes a slot, which the end of the attempt gives back. False for a rate, and where there is an order."""
    order: Order = ""
    """Only of the first pass of a flow: so whose turn it is has the place before anything else is asked of him."""
    trips: bool = False
    """It is told how the attempt ended: a breaker."""

    @property
    def key(self) -> str:
        """The gate's name."""
        return f"{self.limit}:{self.value}" if self.value else self.limit  # as `gate_key`, for every job

    @property
    def occupies(self) -> bool:
        """The end of an attempt, or of the job, gives something back to the gate."""
        return self.holds or self.order != ""


class Flow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The gates of a job, each named once."""

    passes: tuple[Pass, ...] = ()

    @property
    def ordered(self) -> Pass | None:
        """The pass at which it waits for its turn."""
        return self.passes[0] if self.passes and self.passes[0].order else None


CHILDREN: Final = ":children"
"""What a job is parked under that waits for other jobs. No gate is called so: a limit's name has no colon."""
EXPIRED: Final = ":expired"
"""What a claim parks a job under that may not start any more: the next sweep ends it."""
NO_GATES: Final = frozenset({CHILDREN, EXPIRED})
"""The words in `Job.parked_by` that are no gates: nothing takes from them, nothing opens them by counting."""
_LONE: Final = ("[[[", ",", ",1,true]]]")
"""What stands around the words of a flow of one slot."""
_LONE_WORDS: Final = 5
_decoder: Final = msgspec.json.Decoder(Flow)
_encoder: Final = msgspec.json.Encoder()


def flow_text(flow: Flow) -> str:
    """As it stands in `NewJob.flow`."""
    # What most passes do not have is left out. It stands at their ends, so no text inside a pass can look like that.
    text = _encoder.encode(flow).replace(b',"",false]', b"]")
    return text.replace(b'"block",false]', b'"block"]').replace(b'"skip",false]', b'"skip"]').decode()


def flow_of(text: str) -> Flow:
    """From `Job.flow`.

    Raises:
        msgspec.DecodeError: it is damaged, or a newer version wrote it.
    """
    return _decoder.decode(text)


EMPTY_FLOW: Final = flow_text(Flow())
"""Of a job that expires and has no limits: so a claim asks when."""


def readable(text: str | None) -> Flow | None:
    """The flow of a job; None when it has none, or nobody can say."""
    try:
        return None if text is None else flow_of(text)
    except msgspec.MsgspecError:
        return None


def lone_slot(text: str) -> tuple[str, str] | None:
    """The limit and the key of its gate where a slot of it is all that a job needs: read off the text, in half the time that
    it takes to decode it. None: it is another flow, or a word of it is written in another way.
    """
    words = text.split('"')
    if len(words) != _LONE_WORDS or "\\" in text:
        return None
    before, limit, between, value, after = words
    if (before, between, after) != _LONE:
        return None
    return limit, f"{limit}:{value}" if value else limit


def order_key_of(text: str | None) -> str | None:
    """The gate at which a job waits for its turn; None when there is none."""
    if text is None or '"]' not in text:
        return None
    flow = readable(text)
    first = flow.ordered if flow else None
    return first.key if first else None
