"""The committed pins: exact, without addresses, complete, and of one mind."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = {path.name: path for path in (ROOT / "requirements").glob("*")}
PIN = re.compile(r"(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)==(?P<version>[0-9][0-9a-z.]*)(?: ; (?P<marker>[\w '<>=!.]+))?")


def pins_of(text: str) -> dict[str, str]:
    """Name -> version. A line that is anything else (an address, a hash, an option) is an error."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            assert "://" not in line
            continue
        pin = PIN.fullmatch(line)
        assert pin, f"not a plain pin: {line!r}"
        assert pin["name"] not in found, f"twice: {line!r}"
        found[pin["name"]] = pin["version"]
    return found


def wanted(file: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    core, extras = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    build = project["build-system"]["requires"]
    by_file: dict[str, list[str]] = {
        "runtime.txt": core,
        "demo.txt": [*core, *extras["demo"], *extras["postgres"], *extras["redis"], *build],
        "dev.txt": [
            *core,
            *(line for extra in extras.values() for line in extra),
            *build,
            *project["dependency-groups"]["dev"],
        ],
    }
    return by_file[file]


@pytest.mark.parametrize(
    "line",
    [
        "attrs @ https://example.org/attrs.whl",
        "attrs==1.0 --hash=sha256:00",
        "--index" + "-url https://example.org/simple",
        "-r other.txt",
        "-e .",
        "attrs>=1.0",
        "attrs",
        "attrs==1.*",
        "# from https://example.org",
    ],
)
def test_anything_but_a_pin_is_refused(line: str) -> None:
    with pytest.raises(AssertionError):
        pins_of(line)


def test_there_are_pins_for_users_the_demo_and_the_tests() -> None:
    assert set(FILES) == {"runtime.txt", "demo.txt", "dev.txt"}


@pytest.mark.parametrize("file", ["runtime.txt", "demo.txt", "dev.txt"])
def test_pins_are_exact_and_cover_what_is_asked_for(file: str) -> None:
    pins = pins_of(FILES[file].read_text(encoding="utf-8"))

    for line in wanted(file):
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is in pyproject.toml, not in {file}: run scripts/pins --keep"
        assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]} does not satisfy {line}"


def test_the_files_agree() -> None:
    dev = pins_of(FILES["dev.txt"].read_text(encoding="utf-8"))
    for file in ("runtime.txt", "demo.txt"):
        pins = pins_of(FILES[file].read_text(encoding="utf-8"))
        assert pins
        assert pins.items() <= dev.items()
