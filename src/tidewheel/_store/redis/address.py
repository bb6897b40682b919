"""Where a server listens."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

_ONE: Final = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.%]+)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[0-9]*))?")


class Address(NamedTuple):
    """A host and its port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str, port: int) -> Address:
        """Read `host:port`, `[::1]:port` or only the host; `port` is the one that need not be written.

        Raises:
            ValueError: it is none of them.
        """
        found = _ONE.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no host:port (an IPv6 address stands in brackets)")
        number = int(found["port"]) if found["port"] else port
        if not 1 <= number <= 65535:
            raise ValueError(f"the port of {text!r} is not between 1 and 65535")
        return cls(unquote(found["six"] or found["name"] or "localhost"), number)
