"""One picture in, small ones in three formats out: all of them or none."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image as Pillow

WIDTHS = (1280, 640, 320)
"""Pixels. A picture is never made larger than it is."""
FORMATS = ("webp", "avif", "jpg")
MOST_PIXELS = 120_000_000
"""A small file can hold a picture that fills the memory; the largest cameras make 102 million."""


class BadPicture(Exception):
    """The file is no picture that can be opened: trying again will not help."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One file made of a picture."""

    name: str
    """In the folder of its picture."""
    width: int
    height: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """What became of one picture: the result of its job."""

    source: str
    width: int
    height: int
    bytes: int
    folder: str
    files: list[Thumbnail]


def make_thumbnails(
    source: Path, target: Path, *, owner: str = "1", step: Callable[[int, int, str], None] | None = None
) -> Thumbnails:
    """Write `source` in every width and format into the folder `target`.

    The files are made in a hidden folder beside it that becomes `target` in one step when all are there, and is
    removed when something fails: nobody ever sees half of them. `owner` differs between attempts that may
    overlap (a worker whose lease was lost may still be at it). `step(done, of, name)` is told of each file, and may raise
    to stop.

    Raises:
        BadPicture: the file is missing, empty, damaged, too large or no picture.
        OSError: `target` cannot be written; this may pass.
    """
    short = hashlib.sha256(target.name.encode("utf-8", "surrogateescape")).hexdigest()[:12]  # names can be long
    for old in target.parent.glob(f".{short}.*.part"):
        shutil.rmtree(old, ignore_errors=True)  # left by an attempt that was killed
    part = target.parent / f".{short}.{owner}.part"
    try:
        picture = _open(source)
        part.mkdir(parents=True, exist_ok=True)
        files = _write_all(picture, part, step or _no_step)
        _publish(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Thumbnails(str(source), picture.width, picture.height, source.stat().st_size, str(target), files)


def _no_step(done: int, of: int, name: str) -> None:
    """Nobody wants to know."""


def _open(source: Path) -> Pillow.Image:
    """The picture, upright, as RGB or RGBA."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        if source.stat().st_size == 0:
            raise BadPicture(f"{source} is an empty file")
        with Image.open(source) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise BadPicture(f"{source} has {picture.width} x {picture.height} pixels: too many to open")
            picture.draft("RGB", (2 * max(WIDTHS), 2 * max(WIDTHS)))  # lets JPEG skip detail nobody will see
            picture.load()
            upright = ImageOps.exif_transpose(picture)
    except UnidentifiedImageError as error:
        hint = "; HEIC needs the package pillow-heif" if source.suffix.lower() in (".heic", ".heif") else ""
        raise BadPicture(f"{source} is not a picture of a known format{hint}") from error
    except Image.DecompressionBombError as error:
        raise BadPicture(f"{source} has too many pixels to open") from error
    except FileNotFoundError as error:
        raise BadPicture(f"{source} is not there any more") from error
    except PermissionError as error:
        raise BadPicture(f"{source} is not readable for you") from error
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:
        raise BadPicture(f"{source} is damaged: {error}") from error
    return _plain(upright)


def _plain(picture: Pillow.Image) -> Pillow.Image:
    """RGB, or RGBA when parts of the picture are see-through."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):  # 16 and 32 bits a point: `convert` would clip them to white
        low, high = picture.getextrema()
        if isinstance(low, int | float) and isinstance(high, int | float):
            scale = 255 / ((high - low) or 1)
            picture = picture.convert("F").point(lambda value: value * scale - low * scale)
        return picture.convert("L").convert("RGB")
    clear = picture.has_transparency_data
    # The colour profile is kept for RGB only: a CMYK profile says nothing about the RGB it is turned into.
    profile = picture.info.get("icc_profile") if picture.mode in ("RGB", "RGBA", "P") else None
    plain: Image.Image = picture.convert("RGBA" if clear else "RGB")
    plain.info = {"icc_profile": profile} if profile else {}
    return plain


def _write_all(picture: Pillow.Image, part: Path, step: Callable[[int, int, str], None]) -> list[Thumbnail]:
    from PIL import Image

    widths = [width for width in WIDTHS if width <= picture.width] or [picture.width]
    files: list[Thumbnail] = []
    small = picture
    for width in widths:  # each from the one before: a third of the work, and no difference to be seen
        height = max(1, round(picture.height * width / picture.width))
        small = small.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
        for ending in FORMATS:
            step(len(files), len(widths) * len(FORMATS), f"{width}.{ending}")
            path = part / f"{width}.{ending}"
            _save(small, path, picture.info.get("icc_profile"))
            files.append(Thumbnail(path.name, width, height, path.stat().st_size))
    step(len(files), len(files), "")
    return files


def _save(picture: Pillow.Image, path: Path, profile: bytes | None) -> None:
    from PIL import Image

    if path.suffix == ".jpg" and picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        picture = white.convert("RGB")
    if path.suffix == ".avif":
        # Speed 8 takes a seventh of the time of speed 6 for 2 % more bytes. One thread: the pool has the cores.
        picture.save(path, "AVIF", quality=60, speed=8, max_threads=1, icc_profile=profile)
    elif path.suffix == ".webp":
        picture.save(path, "WEBP", quality=80, method=2, icc_profile=profile)
    else:
        picture.save(path, "JPEG", quality=82, optimize=True, progressive=True, icc_profile=profile)


def _publish(part: Path, target: Path) -> None:
    """Put `part` in the place of `target`. When another attempt was quicker, its files, the same as ours, stay."""
    if target.exists():
        shutil.rmtree(target, ignore_errors=True)
    try:
        part.replace(target)
    except OSError:
        if not target.is_dir():
            raise
    with suppress(OSError):
        shutil.rmtree(part)
