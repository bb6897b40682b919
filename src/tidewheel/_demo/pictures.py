"""Pictures drawn on the spot: the same ones at every run, of many sizes, shapes and file formats."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidewheel._demo.folder import cannot_write

if TYPE_CHECKING:
    from PIL import Image as Pillow

_PALETTES = (
    ("#0b1d51", "#f2545b", "#ffd97d"), ("#10002b", "#7b2cbf", "#e0aaff"), ("#012a4a", "#2a9d8f", "#e9f5db"),
    ("#2b2d42", "#ef8354", "#fdf0d5"), ("#03071e", "#dc2f02", "#ffba08"), ("#081c15", "#40916c", "#d8f3dc"),
    ("#1b263b", "#778da9", "#f1faee"), ("#3d0066", "#ff4d6d", "#ffe5ec"),
)  # fmt: skip
_SIZES = ((1600, 1067), (1000, 1500), (2000, 1333), (1300, 1300), (1920, 960), (900, 600), (1500, 2000), (640, 480))
_MODES = (("jpg", "RGB"), ("png", "RGB"), ("webp", "RGB"), ("jpg", "RGB"), ("png", "RGBA"), ("jpg", "L"))


def draw_pictures(folder: Path, count: int) -> Iterator[Path]:
    """Draw the first `count` pictures into `folder`, one at each step; those that are there already stay.

    A picture appears under its name when it is whole, so an interrupted run leaves nothing half drawn.

    Raises:
        DemoProblem: the folder cannot be written.
    """
    from PIL import Image

    scenes: tuple[tuple[str, Callable[..., Pillow.Image]], ...] = (
        ("hills", _hills), ("tide", _tide), ("bubbles", _bubbles), ("fractal", _fractal), ("prism", _prism),
    )  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            name, scene = scenes[number % len(scenes)]
            ending, mode = _MODES[number % len(_MODES)]
            path = folder / f"{name}-{number + 1:02d}.{ending}"
            if not path.exists():
                # Seeded with text, not with a tuple: only that is the same in every Python.
                dice = random.Random(f"tidewheel {number}")
                picture = scene(_SIZES[number % len(_SIZES)], _PALETTES[number % len(_PALETTES)], dice)
                part = path.with_name(f".{path.name}.part")
                exif = Image.Exif()
                if number % 8 == 3:  # as a camera held upright writes it: lying, with a note how to turn it
                    picture = picture.transpose(Image.Transpose.ROTATE_90)
                    exif[0x0112] = 6
                picture.convert(mode).save(
                    part, "JPEG" if ending == "jpg" else ending, quality=88, exif=exif, compress_level=1, method=0
                )
                part.replace(path)
            yield path.resolve()
    except OSError as error:
        raise cannot_write(folder, error) from error


def monogram(initials: str, number: int) -> bytes:
    """A small PNG with somebody's initials, for a mail."""
    from PIL import ImageDraw, ImageFont

    dark, strong, light = _PALETTES[number % len(_PALETTES)]
    picture = _shade((96, 96), (dark, strong, light), number * 37 % 360)
    font = ImageFont.load_default(size=40)
    ImageDraw.Draw(picture).text((48, 48), initials, fill="white", anchor="mm", font=font, stroke_width=1)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def _shade(size: tuple[int, int], colours: tuple[str, str, str], angle: float = 0.0) -> Pillow.Image:
    """A gradient from the first to the third colour, turned by `angle` degrees."""
    from PIL import Image, ImageOps

    ramp = Image.linear_gradient("L").rotate(angle, Image.Resampling.BICUBIC, expand=False)
    edge = 38 if angle % 90 else 0  # what the turn has left black in the corners
    ramp = ramp.crop((edge, edge, 256 - edge, 256 - edge)).resize(size, Image.Resampling.BICUBIC)
    return ImageOps.colorize(ImageOps.autocontrast(ramp), colours[0], colours[2], mid=colours[1])


def _hills(size: tuple[int, int], colours: tuple[str, str, str], dice: random.Random) -> Pillow.Image:
    """A sky, a sun and five ranges of hills, each darker than the one behind it."""
    from PIL import Image, ImageColor, ImageDraw

    width, height = size
    picture = _shade(size, colours)
    draw = ImageDraw.Draw(picture)
    sun, radius = (width * dice.uniform(0.2, 0.8), height * dice.uniform(0.35, 0.5)), min(size) * 0.11
    draw.ellipse((sun[0] - radius, sun[1] - radius, sun[0] + radius, sun[1] + radius), fill=colours[2])
    near, far = (Image.new("RGB", (1, 1), colour) for colour in (colours[0], colours[1]))
    for layer in range(5):
        tone = Image.blend(far, near, 0.25 + layer * 0.18).getpixel((0, 0))
        waves = [(dice.uniform(0.6, 3), dice.uniform(0, 6), dice.uniform(0.01, 0.05)) for _ in range(4)]
        base = 0.5 + layer * 0.1
        ridge = [
            (x, height * (base + sum(a * math.sin(f * math.tau * x / width + p) for f, p, a in waves)))
            for x in range(0, width + 8, 8)
        ]
        draw.polygon([*ridge, (width, height), (0, height)], fill=tone or ImageColor.getrgb(colours[0]))
    return picture


def _tide(size: tuple[int, int], colours: tuple[str, str, str], dice: random.Random) -> Pillow.Image:
    """Waves under waves, seen through one another."""
    from PIL import Image, ImageColor, ImageDraw

    width, height = size
    picture = _shade(size, (colours[2], colours[1], colours[0])).convert("RGBA")
    for layer in range(9):
        veil = Image.new("RGBA", size)
        top, swell, turn = height * (0.15 + layer * 0.09), height * dice.uniform(0.02, 0.05), dice.uniform(0, 6)
        crest = [
            (x, top + swell * math.sin(x / width * math.tau * (1 + layer / 4) + turn)) for x in range(0, width + 8, 8)
        ]
        tint = (*ImageColor.getrgb(colours[layer % 3])[:3], 70)
        ImageDraw.Draw(veil).polygon([*crest, (width, height), (0, height)], fill=tint)
        picture.alpha_composite(veil)
    return picture


def _bubbles(size: tuple[int, int], colours: tuple[str, str, str], dice: random.Random) -> Pillow.Image:
    """Discs of all sizes, on nothing where the format knows nothing (RGBA)."""
    from PIL import Image, ImageColor, ImageDraw

    width, height = size
    picture = Image.new("RGBA", size, (*ImageColor.getrgb(colours[0])[:3], 0))
    draw = ImageDraw.Draw(picture)
    for number in range(140):
        radius = min(size) * dice.uniform(0.01, 0.12) * (1 - number / 200)
        x, y = dice.uniform(0, width), dice.uniform(0, height)
        tint = (*ImageColor.getrgb(dice.choice(colours))[:3], dice.randint(150, 255))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tint, outline=colours[2], width=2)
    return picture


def _fractal(size: tuple[int, int], colours: tuple[str, str, str], dice: random.Random) -> Pillow.Image:
    """A part of the Mandelbrot set."""
    from PIL import Image, ImageOps

    x, y, span = dice.choice(((-0.745, 0.12, 0.04), (-1.25, 0.03, 0.08), (-0.16, 1.035, 0.06), (0.3, 0.02, 0.05)))
    tall = span * size[1] / size[0]
    small = (size[0] // 2, size[1] // 2)  # a quarter of the points, drawn four times as fast
    plain = Image.effect_mandelbrot(small, (x - span, y - tall, x + span, y + tall), 90)
    return ImageOps.colorize(ImageOps.autocontrast(plain), *colours[::2], mid=colours[1]).resize(size)


def _prism(size: tuple[int, int], colours: tuple[str, str, str], dice: random.Random) -> Pillow.Image:
    """Triangles of light on a slanting gradient."""
    from PIL import Image, ImageColor, ImageDraw

    width, height = size
    picture = _shade(size, colours, dice.uniform(15, 75)).convert("RGBA")
    for _ in range(14):
        veil = Image.new("RGBA", size)
        points = [(dice.uniform(-0.2, 1.2) * width, dice.uniform(-0.2, 1.2) * height) for _ in range(3)]
        tint = (*ImageColor.getrgb(dice.choice(colours))[:3], dice.randint(25, 80))
        ImageDraw.Draw(veil).polygon(points, fill=tint)
        picture.alpha_composite(veil)
    return picture
