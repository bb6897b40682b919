"""Watching source files: which there are, which changed. Asking the file system twice a second is enough."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

LIMIT: Final = 5000
"""Files watched at most: a mistake in the folder must not load the machine."""
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "build", "dist", "site-packages"})


def source_folder(reference: str) -> Path:
    """The folder that holds the code of `module:attribute`: the package's, or the one the module lies in.

    Nothing is imported, because what cannot be imported now may be after the next change.
    """
    top = reference.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return Path.cwd()
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin).parent if spec.origin else Path.cwd()


class Watcher:
    """Finds out which .py files under some folders were made, changed or removed since the last look."""

    def __init__(self, folders: Sequence[Path], limit: int = LIMIT) -> None:
        self._folders = folders
        self._limit = limit
        self.cut = False
        """True when there were more files than the limit: the rest is not watched."""
        self._seen = self._look()

    @property
    def watched(self) -> int:
        """How many files are watched."""
        return len(self._seen)

    def changed(self) -> list[str]:
        """The files that differ from the last look, sorted."""
        before, self._seen = self._seen, self._look()
        return sorted(path for path in before.keys() | self._seen.keys() if before.get(path) != self._seen.get(path))

    def _look(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        self.cut = False
        for folder in self._folders:
            for entry in _python_files(folder):
                if len(found) >= self._limit:
                    self.cut = True
                    return found
                try:
                    stat = entry.stat()
                except OSError:
                    continue  # gone between the listing and the look
                found[entry.path] = (stat.st_mtime_ns, stat.st_size)
        return found


def _python_files(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    if any(entry.name == "pyvenv.cfg" for entry in entries):
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _python_files(entry.path)
        elif entry.name.endswith(".py"):
            yield entry
