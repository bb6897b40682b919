"""Reads every change of a job's state from the append-only file of Redis or Valkey, which has all writes in their order.

Nothing can be left out of it: what is not there, the server forgets at the next restart. The file must not be rewritten
(`auto-aof-rewrite-percentage 0`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from tests.e2e._history import Change


def commands(folder: Path) -> Iterator[list[bytes]]:
    """The commands of the append-only files below a folder, oldest first. A torn last one is left out."""

    def number(path: Path) -> int:
        return int(path.name.split(".")[-3])  # appendonly.aof.N.incr.aof

    for path in sorted(folder.glob("appendonlydir/*.incr.aof"), key=number):
        yield from parsed(path.read_bytes())


def parsed(data: bytes) -> Iterator[list[bytes]]:
    """The commands in the server's own notation: `*<count>`, then `$<length>` and the bytes for each word."""
    at = 0
    while at < len(data):
        end = data.find(b"\r\n", at)
        if end < 0:
            return
        head = data[at:end]
        at = end + 2
        if head.startswith(b"#"):  # an annotation
            continue
        words: list[bytes] = []
        for _ in range(int(head[1:])):
            end = data.find(b"\r\n", at)
            if end < 0:
                return
            size = int(data[at + 1 : end])
            words.append(data[end + 2 : end + 2 + size])
            at = end + 2 + size + 2
        if at > len(data):
            return
        yield words


class RedisRecorder:
    """The append-only file of a server whose data lies in `folder`."""

    def __init__(self, folder: Path, namespace: str = "tidewheel") -> None:
        self._folder = folder
        self._root = f"{{{namespace}}}:".encode()
        self._last: dict[str, Change] = {}

    def changes(self) -> list[Change]:
        """Everything so far, in order."""
        return [change for change, _ in self._story()]

    def moments(self) -> list[float]:
        """When each of the changes was made, in seconds since 1970, in the same order."""
        return [at for _, at in self._story()]

    def _story(self) -> Iterator[tuple[Change, float]]:
        """Every script writes down the time; the server keeps what one script wrote between MULTI and EXEC."""
        self._last = {}
        meta, now = self._root + b"meta", 0.0
        waiting: list[Change] = []
        whole = True
        for words in commands(self._folder):
            name, keys = words[0].upper(), words[1:2]
            if name in (b"MULTI", b"EXEC"):
                whole = name == b"EXEC"
            elif name == b"HSET" and keys == [meta]:
                values = dict(zip(words[2::2], words[3::2], strict=True))
                now = int(values[b"clock"]) / 1e6 if b"clock" in values else now
            else:
                waiting += self._made(name, words)
            if whole:
                yield from ((change, now) for change in waiting)
                waiting.clear()

    def _made(self, name: bytes, words: list[bytes]) -> Iterator[Change]:
        """The changes that a command made. The head of a job is in one field."""
        prefix = self._root + b"job:"
        if name == b"HSET" and words[1].startswith(prefix):
            values = dict(zip(words[2::2], words[3::2], strict=True))
            if b"h" in values:
                job = words[1].removeprefix(prefix).decode()
                change = self._change(job, self._last.get(job), values[b"h"], values.get(b"r"))
                if change is not None:
                    self._last[job] = change
                    yield change
        elif name in (b"DEL", b"UNLINK"):
            for key in words[1:]:
                job = key.removeprefix(prefix).decode() if key.startswith(prefix) else ""
                if (old := self._last.pop(job, None)) is not None:
                    yield Change(job, old.after, None, old.epoch, old.attempt, old.crashes)

    @staticmethod
    def _change(job: str, before: Change | None, head: bytes, result: bytes | None) -> Change | None:
        # The values stand one behind the other; as the elements of an array of nine they can be read.
        state, epoch, attempt, crashes, *_ = msgspec.msgpack.decode(b"\x99" + head)
        if before is not None and (before.after, before.epoch) == (state, epoch):
            return None
        said = None if result is None else result.decode()
        return Change(job, None if before is None else before.after, state, epoch, attempt, crashes, said)
