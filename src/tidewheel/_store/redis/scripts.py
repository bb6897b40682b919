"""The scripts: one file each under `lua/`, put together with what they share, and called by digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from tidewheel._store.redis.keys import LEAST, SCHEMA

_HERE: Final = files("tidewheel._store.redis")
_USES: Final = "-- uses: "


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the server gets it, and the digest it is called by."""

    name: str
    text: str
    digest: str


@cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua`: its first line (the flags), the layout it is for, lib.lua, the parts it uses, and the rest."""
    flags, _, rest = _read(name).partition("\n")
    parts = [flags, f"local LAYOUT, LEAST = {SCHEMA}, {LEAST}", _read("lib")]
    if rest.startswith(_USES):
        parts += [_read(part) for part in rest.partition("\n")[0].removeprefix(_USES).split(", ")]
    text = "\n".join([*parts, rest])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return _HERE.joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
