"""How the log of a worker is written: text for people, JSON lines for collectors, both to stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any, Final

import click

from tidewheel._cli.show import iso, safe

LEVELS: Final = ("debug", "info", "warning", "error")
_COLOURS: Final = {"DEBUG": "bright_black", "INFO": "cyan", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """`09:00:01 INFO    message`, with the process number when there are several."""

    def __init__(self, *, colour: bool, number: str = "") -> None:
        super().__init__()
        self._colour = colour
        self._who = f" [{number}]" if number else ""

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname:<7}"
        if self._colour:
            level = click.style(level, fg=_COLOURS.get(record.levelname))
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{clock} {level}{self._who} {safe(text)}"


class JsonFormatter(logging.Formatter):
    """One object a line: at, level, logger, message, the fields given as `extra`, and the stack."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": iso(int(record.created * 1_000_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(level: str, layout: str, *, number: str = "") -> None:
    """Send the log to stderr: `layout` is text or json; `level` one of LEVELS;
    `number` tells processes apart.

    A handler that the app put on the root logger stays, and then ours is not added: the app decides.
    """
    root = logging.getLogger()
    logging.getLogger("tidewheel").setLevel(level.upper())
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    handler.setFormatter(JsonFormatter() if layout == "json" else TextFormatter(colour=coloured, number=number))
    root.addHandler(handler)
    root.setLevel(max(logging.INFO, logging.getLevelName(level.upper())))
