"""The code before the newest migration, as an archive that the upgrade tests unpack and run.

    python -m tests.upgrade._freeze      write it anew, from src/ as it is now

Do so before you add a migration, never after: the archive is what runs on the machines that were not upgraded yet. It
has everything but the command, the demonstration and the benchmarks, and neither dates nor owners, so that the same
code gives the same bytes.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from typing import Final

ARCHIVE: Final = Path(__file__).with_name("before.tar.xz")
SOURCE: Final = Path(__file__).parents[2] / "src" / "tidewheel"
_LEFT_OUT: Final = {"_cli", "_demo", "_bench", "__main__.py", "__pycache__"}


def freeze(source: Path = SOURCE, archive: Path = ARCHIVE) -> None:
    """Write the archive."""
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for path in sorted(source.rglob("*")):
            inside = path.relative_to(source)
            if path.is_file() and not _LEFT_OUT & set(inside.parts):
                content = path.read_bytes()
                entry = tarfile.TarInfo(f"tidewheel/{inside.as_posix()}")
                entry.size = len(content)
                packed.addfile(entry, io.BytesIO(content))


def unpack(folder: Path) -> Path:
    """The code before, in a folder that goes into PYTHONPATH."""
    with tarfile.open(ARCHIVE) as packed:
        packed.extractall(folder, filter="data")
    return folder


if __name__ == "__main__":
    freeze(*map(Path, sys.argv[1:]))
