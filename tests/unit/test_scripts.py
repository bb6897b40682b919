"""scripts/_venv on machines that lack things. What is missing is played by programs in front of PATH; nothing is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    "scripts/_servers",
    "scripts/_venv",
    "scripts/chaos",
    "scripts/demo",
    "scripts/pins",
    "scripts/scale",
    "scripts/semantics",
    "scripts/test",
]


def sh(program: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-euc", f'ROOT=$1; . "$1/scripts/_venv"; {program}', "sh", str(ROOT)],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        check=False,
    )


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """A machine whose Python can run things and make no environment, with nothing else to make one."""
    front = tmp_path / "front"
    front.mkdir()
    for name in ("apt-get", "pip", "pip3", "virtualenv", "uv"):
        program(front / name, f'echo {name} >>"{tmp_path}/asked"; exit 1')
    python = program(
        tmp_path / "python", f'[ "$1" != -m ] || {{ mkdir -p "$3"; exit 1; }}\nexec "{sys.executable}" "$@"'
    )
    return {"PATH": f"{front}:/usr/bin:/bin", "TIDEWHEEL_PYTHON": str(python)}


@pytest.mark.parametrize("script", SCRIPTS)
def test_is_posix_sh(script: str) -> None:
    assert subprocess.run(["sh", "-n", script], cwd=ROOT, check=False).returncode == 0


def test_takes_a_python_that_works() -> None:
    run = sh('tidewheel_python; echo "$BASE_PY"', TIDEWHEEL_PYTHON=sys.executable)

    assert run.stdout.strip() == sys.executable


def test_passes_over_names_with_nothing_behind_them(tmp_path: Path) -> None:
    for name in ("python3.13", "python3.12", "python3.11", "python3.14"):
        program(tmp_path / name, "exit 127")
    program(tmp_path / "python3", f'exec "{sys.executable}" "$@"')

    run = sh('tidewheel_python; echo "$BASE_PY"', PATH=f"{tmp_path}:/usr/bin:/bin")

    assert run.stdout.strip() == "python3"


@pytest.mark.parametrize(("env", "said"), [({"TIDEWHEEL_PYTHON": "/none"}, "'/none'"), ({"PATH": "/none"}, "apt-get")])
def test_says_what_to_do_without_python(env: dict[str, str], said: str) -> None:
    run = subprocess.run(
        ["/bin/sh", "-c", '. "$1/scripts/_venv"; tidewheel_python', "sh", str(ROOT)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert "3.11" in run.stderr
    assert said in run.stderr


def test_never_deletes_what_is_no_environment(tmp_path: Path) -> None:
    precious = tmp_path / "home with space" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work", encoding="utf-8")

    run = sh(f'tidewheel_venv "{precious.parent}" "$ROOT/requirements/runtime.txt"', TIDEWHEEL_PYTHON=sys.executable)

    assert run.returncode == 1
    assert "not a virtual environment" in run.stderr
    assert precious.read_text(encoding="utf-8") == "years of work"


def test_tries_everything_then_names_the_remedy(tmp_path: Path, bare: dict[str, str]) -> None:
    where = tmp_path / "with space" / "venv"

    run = sh(f'tidewheel_venv "{where}" "$ROOT/requirements/runtime.txt"', **bare)

    assert run.returncode == 1
    assert "Remedy: apt-get install python3-venv" in run.stderr
    assert not where.exists()
    asked = set((tmp_path / "asked").read_text(encoding="utf-8").split())
    assert asked == {"virtualenv", "uv"} | ({"apt-get"} if os.getuid() == 0 else set())


def test_an_environment_is_reused_until_something_changes(tmp_path: Path) -> None:
    """A hit starts no Python but the environment's own."""
    venv, pins = tmp_path / "venv", tmp_path / "pins.txt"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    program(venv / "bin" / "python", "exit 0")
    pins.write_text("msgspec==0.1\n", encoding="utf-8")
    env = {"TIDEWHEEL_PYTHON": "/none"}
    stamped = sh(f'tidewheel_stamp "{pins}" demo >"{venv}/tidewheel-stamp"', **env)
    assert stamped.returncode == 0

    ask = f'tidewheel_venv "{venv}" "{pins}" '
    assert sh(ask + 'demo; echo "$PY"', **env).stdout.strip() == str(venv / "bin" / "python")
    assert sh(ask + "demo,fast", **env).returncode == 1, "other extras"
    pins.write_text("msgspec==0.2\n", encoding="utf-8")
    assert sh(ask + "demo", **env).returncode == 1, "other pins"


def test_a_broken_environment_is_made_again(tmp_path: Path, bare: dict[str, str]) -> None:
    venv, pins = tmp_path / "venv", ROOT / "requirements" / "runtime.txt"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    program(venv / "bin" / "python", "exit 1")
    sh(f'tidewheel_stamp "{pins}" "" >"{venv}/tidewheel-stamp"', **bare)

    run = sh(f'tidewheel_venv "{venv}" "{pins}"', **bare)

    assert "preparing" in run.stderr
    assert not (venv / "pyvenv.cfg").exists()
