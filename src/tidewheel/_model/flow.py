"""The gates that a job must pass before it starts, as it carries them: worked out once, when it is enqueued."""

from __future__ import annotations

from typing import Final

import msgspec

from tidewheel._model.limit import gate_key


class Pass(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One gate on a job's way."""

    limit: str
    value: str = ""
    """The key inside the limit; empty for a limit without keys."""
    cost: int = 1
    """How much of a rate the start takes. A slot is a slot."""
    holds: bool = True
    """It takes a slot, which the end of the attempt gives back. False for a rate."""

    @property
    def key(self) -> str:
        """The gate's name."""
        return gate_key(self.limit, self.value)


class Flow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The gates of a job, each named once."""

    passes: tuple[Pass, ...] = ()


_decoder: Final = msgspec.json.Decoder(Flow)
_encoder: Final = msgspec.json.Encoder()


def flow_text(flow: Flow) -> str:
    """As it stands in `NewJob.flow`."""
    return _encoder.encode(flow).decode()


def flow_of(text: str) -> Flow:
    """From `Job.flow`.

    Raises:
        msgspec.DecodeError: it is damaged, or a newer version wrote it.
    """
    return _decoder.decode(text)


def readable(text: str | None) -> Flow | None:
    """The flow of a job; None when it has none, or nobody can say."""
    try:
        return None if text is None else flow_of(text)
    except msgspec.MsgspecError:
        return None
