"""The scripts: one file each under `lua/`, put together with what they share, and called by digest."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from tidewheel._store.redis.keys import LEAST, SCHEMA

_HERE: Final = files("tidewheel._store.redis")
_USES: Final = "-- uses: "
_BEGINS: Final = re.compile(r"^(?!end\b|else|\}|\))(?=\S)", re.MULTILINE)
_DEFINES: Final = re.compile(r"local (?:function )?(\w+(?:, \w+)*)")
_COMMENT: Final = re.compile(r"--.*")
_NAME: Final = re.compile(r"'(?:\\.|[^'\\\n])*'|--.*|[A-Za-z_]\w*")
_NUMBERS: Final = re.compile(r"^local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = (\d+(?:, \d+)*)(?: *--.*)?\n", re.MULTILINE)
_STRING_OR_NAME: Final = re.compile(r"'(?:\\.|[^'\\\n])*'|--.*|(?<![.:\w])[A-Z][A-Z_]*\b(?! *=[^=])")


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the server gets it, and the digest it is called by."""

    name: str
    text: str
    digest: str


@cache
def script(name: str) -> Script:
    """The script `lua/<name>.lua`: its first line (the flags), the layout it is for, what it needs of lib.lua and of the
    parts it uses, and the rest.
    """
    flags, _, rest = _read(name).partition("\n")
    parts = [_read("lib")]
    if rest.startswith(_USES):
        parts += [_read(part) for part in rest.partition("\n")[0].removeprefix(_USES).split(", ")]
    layout = f"local LAYOUT, LEAST = {SCHEMA}, {LEAST}"
    text = "\n".join([flags, *in_place("\n".join([layout, *parts]), rest)])
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def in_place(parts: str, body: str) -> tuple[str, str]:
    """Both with the numbers of the constants in the place of their names, and of the parts what is needed. A local that a
    function uses costs something each time the function is made; a number costs nothing.
    """
    numbers = dict[str, str]()
    for names, values in _NUMBERS.findall(parts):
        numbers |= zip(names.split(", "), values.split(", "), strict=True)

    def named(found: re.Match[str]) -> str:
        return numbers.get(found[0], found[0])

    body = _STRING_OR_NAME.sub(named, body)
    return needed(_STRING_OR_NAME.sub(named, _NUMBERS.sub("", parts)), body), body


def needed(parts: str, body: str) -> str:
    """What a script's body needs of the parts before it: what they do, and of the locals that they define those that are
    used. A server makes each function anew whenever a script runs, and fifty that are not used take longer than most of
    what is.
    """
    statements = _statements(parts)
    wanted, kept = _names(body), set[int]()
    more = True
    while more:
        more = False
        for place, statement in enumerate(statements):
            defined = _DEFINES.match(statement)
            if place not in kept and (defined is None or not wanted.isdisjoint(defined[1].split(", "))):
                kept.add(place)
                wanted |= _names(statement)
                more = True
    return "".join(statement for place, statement in enumerate(statements) if place in kept)


def _statements(text: str) -> list[str]:
    """Those of the top level, without comments: each begins where a line does."""
    bare = re.sub(r"\n\s*\n", "\n", _COMMENT.sub("", text))
    starts = [found.start() for found in _BEGINS.finditer(bare)]
    return [bare[start:end] for start, end in zip(starts, [*starts[1:], len(bare)], strict=True)]


def _names(text: str) -> set[str]:
    return set(_NAME.findall(text))


def _read(name: str) -> str:
    return _HERE.joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
