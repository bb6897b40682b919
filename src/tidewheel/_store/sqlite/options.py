"""Where the file lies and how it is used, read from `sqlite:///path?option=value`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

from tidewheel._model.duration import micros
from tidewheel._model.errors import ConfigError

_BUSY_TIMEOUT: Final = 10_000_000
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "durability": ("normal", "full"),
    "migrate": ("auto", "manual"),
    "network_fs": ("refuse", "allow"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteOptions:
    """How one SQLite file is opened.

    `durability`: "normal" (default) survives the death of any process; a power failure may undo the last
    moments. "full" waits for the disk at every commit and survives that too.
    `busy_timeout`: how long a write waits for another process' lock, in microseconds (default 10 s).
    `migrate`: "auto" (default) brings an older schema up to date on opening; "manual" leaves it to
    `tidewheel migrate`.
    `network_fs`: "refuse" (default) or "allow" a file on a network file system, where SQLite's locks
    cannot be trusted.
    """

    path: Path
    durability: str = "normal"
    busy_timeout: int = _BUSY_TIMEOUT
    migrate: str = "auto"
    network_fs: str = "refuse"

    @classmethod
    def parse(cls, url: str) -> SqliteOptions:
        """Read a `sqlite:` URL, or a plain path.

        Raises:
            ConfigError: every problem of the URL at once.
        """
        path, _, query = url.partition("?")
        if path.startswith("sqlite:"):
            path = unquote(path.removeprefix("sqlite:").removeprefix("//").removeprefix("/"))
        problems = []
        if path in ("", ":memory:"):
            problems.append(
                f"The store URL {url!r} names no file. Write sqlite:///jobs.db (relative) or sqlite:////var/jobs.db "
                "(absolute); for a store in memory write memory://."
            )
        values: dict[str, str] = {}
        timeout = _BUSY_TIMEOUT
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name == "busy_timeout":
                try:
                    timeout = micros(float(value) if value.replace(".", "", 1).isdigit() else value)
                except ValueError as error:
                    problems.append(f"busy_timeout in {url!r}: {error}")
            elif name not in _CHOICES:
                close = difflib.get_close_matches(name, [*_CHOICES, "busy_timeout"], n=1)
                hint = f" Did you mean {close[0]}?" if close else f" Known: {', '.join([*_CHOICES, 'busy_timeout'])}."
                problems.append(f"Unknown option {name!r} in the store URL {url!r}.{hint}")
            elif value not in _CHOICES[name]:
                problems.append(f"{name}={value} in {url!r} must be one of: {', '.join(_CHOICES[name])}.")
            else:
                values[name] = value
        if problems:
            raise ConfigError(problems)
        return cls(path=Path(path).expanduser().absolute(), busy_timeout=timeout, **values)
