"""The output folder: what lies where in it, whether it may be written, and who uses it now."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from tidewheel._demo.problem import NO_ROOM, DemoProblem

NEEDED = 64 * 1024 * 1024
"""Bytes that must be free to start: twice what the drawn pictures and all that is made of them take."""

FULL = 4 * 1024 * 1024
"""Bytes below which nothing goes on: what is left is too little for the database to grow by."""


@dataclass(frozen=True, slots=True)
class OutputFolder:
    """The paths of one output folder, all absolute."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> OutputFolder:
        """Raises DemoProblem when the path cannot even be followed."""
        try:
            return cls(path.expanduser().resolve())
        except (OSError, RuntimeError) as error:
            raise DemoProblem(f"--output '{path}' leads nowhere: {error}.", "Name another folder.") from error

    @property
    def marker(self) -> Path:
        """Hidden folder that says whose this is; it keeps what a continued run has to know."""
        return self.root / ".tidewheel-demo"

    @property
    def pictures(self) -> Path:
        """The pictures drawn on the spot."""
        return self.root / "pictures"

    @property
    def thumbnails(self) -> Path:
        return self.root / "thumbnails"

    @property
    def mails(self) -> Path:
        return self.root / "mails"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def dead_letters(self) -> Path:
        return self.root / "dead-letters"

    @property
    def database(self) -> Path:
        return self.root / "demo.db"

    @property
    def store_url(self) -> str:
        """The store a run uses unless it is given another one."""
        return "sqlite:///" + quote(self.database.as_posix())

    @property
    def worker_log(self) -> Path:
        return self.root / "worker.log"

    @property
    def ledger(self) -> Path:
        """Every delivery the mail sink accepted, one JSON line each."""
        return self.marker / "deliveries.jsonl"

    @property
    def kill_note(self) -> Path:
        """What the store held when the worker was killed."""
        return self.marker / "kill.json"

    def prepare(self) -> None:
        """Make the folder, and see that it is ours and can be written.

        Raises:
            DemoProblem: it is a file, somebody else's folder, or not writable.
        """
        shown = f"--output '{self.root}'"
        try:
            if self.root.exists() and not self.root.is_dir():
                raise DemoProblem(f"{shown} is a file, not a folder.", "Name a folder; it is made if it is not there.")
            if self.root.is_dir() and not self.marker.is_dir() and any(self.root.iterdir()):
                raise DemoProblem(
                    f"{shown} has files in it that are not the demo's.",
                    "Name a new or an empty folder: the demo keeps out of other people's files.",
                )
            folders = (self.marker, self.thumbnails, self.mails, self.reports, self.dead_letters)
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.marker / "probe"
            probe.write_bytes(b"x" * 4096)
            probe.unlink()
        except OSError as error:
            raise cannot_write(self.root, error) from error

    def need_room(self) -> None:
        """See that the disk has room for a run.

        Raises:
            DemoProblem: it has not.
        """
        free = shutil.disk_usage(self.root).free
        if free < NEEDED:
            raise DemoProblem(
                f"--output '{self.root}': {free // 2**20} MiB are free there, {NEEDED // 2**20} MiB are needed.",
                "Free some space, or name a folder on another disk.",
                code=1,
            )

    def full(self) -> bool:
        """True when there is no room left to speak of."""
        return shutil.disk_usage(self.root).free < FULL

    def clear(self, *, keep: Path | None) -> None:
        """Remove what earlier runs made here (and nothing else); `keep` is the folder of the user's pictures.

        Raises:
            DemoProblem: the user's pictures are among what would be removed.
        """
        if not self.marker.is_dir():
            return
        ours = [self.pictures, self.thumbnails, self.mails, self.reports, self.dead_letters]
        if keep is not None and any(keep.resolve().is_relative_to(folder) for folder in ours):
            raise DemoProblem(
                f"--fresh would remove '{keep}', which is --input.", "Name another --output, or leave --fresh away."
            )
        try:
            for path in (
                *ours,
                self.worker_log,
                self.ledger,
                self.kill_note,
                *self.root.glob(f"{self.database.name}*"),
            ):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise DemoProblem(
                f"'{error.filename}' cannot be removed: {error.strerror}.",
                "Remove it by hand, or name another --output.",
            ) from error

    def lock(self) -> contextlib.AbstractContextManager[object]:
        """Hold the folder as long as the answer is open; a process that dies lets go of it by dying.

        Raises:
            DemoProblem: another demo works here now.
        """
        path = self.marker / "lock"
        file = path.open("a+", encoding="utf-8")
        if not _take(file):
            file.seek(0)
            holder = file.read().strip() or "?"
            file.close()
            raise DemoProblem(
                f"--output '{self.root}' is in use by another demo (process {holder}).",
                "Wait for it to end, or name another --output.",
                code=1,
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return contextlib.closing(file)


def cannot_write(where: Path, error: OSError) -> DemoProblem:
    """The problem that an `OSError` at `where` is for the person who chose the folder."""
    if error.strerror and NO_ROOM in error.strerror:
        return DemoProblem(
            f"The disk of '{where}' is full.",
            "Free some space and run the demo again: it goes on where it stopped. Or name another --output.",
            code=1,
        )
    return DemoProblem(
        f"--output '{where}' cannot be written: {error.strerror or error}.",
        "Give yourself the right to write there, or name another folder.",
    )


def _take(file: IO[str]) -> bool:
    """An advisory lock on the file, without waiting."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
