"""The pictures a person hands in: found, counted, and complained about in words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tidewheel._demo.problem import DemoProblem

PICTURE_ENDINGS = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif", ".avifs", ".bmp", ".dib", ".tif",
    ".tiff", ".ico", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi", ".heic", ".heif",
})  # fmt: skip
"""What is taken for a picture. Whether it is one is seen when it is opened, and is then its job's business."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The pictures of one folder and its subfolders, in the order of their names."""

    folder: Path
    pictures: tuple[Path, ...]
    """Absolute paths."""
    others: int = 0
    """Files without a picture's ending."""
    warnings: tuple[str, ...] = ()
    """What was left out although it may be a picture, and why."""


def find_pictures(folder: Path, leave_out: Path) -> Inputs:
    """The pictures under `folder`, without hidden files and without the folder `leave_out` (the demo's own output).

    Raises:
        DemoProblem: no such folder, not a folder, not readable, empty, or no picture in it.
    """
    shown = f"--input '{folder}'"
    try:
        top = folder.expanduser().resolve()
        there = top.exists()
    except (OSError, RuntimeError) as error:
        raise DemoProblem(f"{shown} cannot be reached: {error}.", "Name a folder of pictures.") from error
    if not there:
        raise DemoProblem(f"{shown}: there is no such folder.", "Name a folder of pictures, or leave --input away.")
    if not top.is_dir():
        raise DemoProblem(
            f"{shown} is a file, not a folder.", f"Name the folder it is in, as in --input '{folder.parent}'."
        )
    if not os.access(top, os.R_OK | os.X_OK):
        raise DemoProblem(
            f"{shown} is not readable for you.", f"Give yourself the right (chmod u+rx '{top}') or name another folder."
        )
    pictures, others, warnings = _walk(top, leave_out)
    if pictures:
        return Inputs(top, tuple(pictures), others, tuple(warnings))
    endings = "Pictures are files that end in .jpg, .png, .webp, .avif, .gif, .tif or .bmp."
    if warnings:
        raise DemoProblem(f"{shown} has no picture that can be read: {'; '.join(warnings[:3])}.", endings)
    if others:
        raise DemoProblem(f"{shown} has {others} {'file' if others == 1 else 'files'} and no picture.", endings)
    raise DemoProblem(f"{shown} is empty.", f"Put pictures into it, or leave --input away. {endings}")


def _walk(top: Path, leave_out: Path) -> tuple[list[Path], int, list[str]]:
    pictures: list[Path] = []
    warnings: list[str] = []
    others = 0

    def unreadable(error: OSError) -> None:
        warnings.append(f"folder '{error.filename}' left out: {error.strerror}")

    for where, folders, files in os.walk(top, onerror=unreadable):
        here = Path(where)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and here / name != leave_out)
        for name in sorted(files):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() not in PICTURE_ENDINGS:
                others += 1
            elif not _is_text(where + name):
                warnings.append(f"file {name!a} left out: its name is not valid UTF-8, rename it")
            else:
                pictures.append(here / name)
    return pictures, others, warnings


def _is_text(name: str) -> bool:
    """Names are bytes on Unix; one that is not UTF-8 arrives with surrogates, which JSON cannot carry."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
