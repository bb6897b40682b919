"""What type checkers tell users of Tidewheel: the sample files in `cases/` say it, mypy and pyright must agree.

In a sample file `# R: TYPE` stands behind a `reveal_type(...)`, and `# E: MYPY-CODE / PYRIGHT-RULE` (each may be a list,
separated by commas) behind a line that must be an error. Whatever is not announced must not be reported.

pyright comes as basedpyright, whose wheels hold the JavaScript and node: plain pyright downloads both when it first
runs. It is put into pyright's own strict mode, without the rules that basedpyright adds.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CASES = sorted((HERE / "cases").glob("*.py"))

# Two type checkers start cold on a machine that may be busy.
pytestmark = pytest.mark.timeout(180)

Report = dict[str, dict[int, set[str]]]
"""File name -> line -> error codes and revealed types."""

EXPECTED = re.compile(r"# (?P<sort>[RE]): (?P<text>.+)$")
MODULE_PREFIX = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])")


def note(report: Report, file: str, line: int, what: str) -> None:
    """Write down what is said of a sample file. What is said of our own source is another test's business."""
    if (ROOT / file).parent == HERE / "cases":
        report.setdefault(Path(file).name, {}).setdefault(line, set()).add(what)


def revealed(type_text: str) -> str:
    """A type as both checkers would write it: without modules, mypy's `None` markers and the `?` of literals."""
    return "reveals " + MODULE_PREFIX.sub("", type_text).rstrip("*?")


def expectations(checker: int) -> Report:
    report: Report = {}
    for path in CASES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = EXPECTED.search(line)
            if not found:
                continue
            if found["sort"] == "R":
                note(report, str(path), number, revealed(found["text"]))
            else:
                for code in found["text"].split(" / ")[checker].split(", "):
                    note(report, str(path), number, code)
    return report


@pytest.fixture(scope="module")
def mypy_says(tmp_path_factory: pytest.TempPathFactory) -> Report:
    cache = tmp_path_factory.mktemp("mypy")
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--output=json", f"--cache-dir={cache}", *map(str, CASES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, f"mypy did not find the errors it should find:\n{run.stdout}{run.stderr}"
    report: Report = {}
    for line in run.stdout.splitlines():
        said = json.loads(line)
        reveals = re.fullmatch(r'Revealed type is "(.*)"', said["message"])
        if reveals:
            note(report, said["file"], said["line"], revealed(reveals[1]))
        elif said["severity"] == "error":
            note(report, said["file"], said["line"], said["code"])
    return report


@pytest.fixture(scope="module")
def pyright_says() -> Report:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--outputjson"),
            *("--project", str(HERE), "--pythonpath", sys.executable),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, f"pyright did not find the errors it should find:\n{run.stdout}{run.stderr}"
    answer = json.loads(run.stdout)
    assert answer["summary"]["filesAnalyzed"] == len(CASES)
    report: Report = {}
    for said in answer["generalDiagnostics"]:
        line = said["range"]["start"]["line"] + 1
        reveals = re.fullmatch(r'Type of ".*" is "(.*)"', said["message"], re.DOTALL)
        if reveals:
            note(report, said["file"], line, revealed(reveals[1]))
        elif said["severity"] == "error":
            note(report, said["file"], line, said.get("rule", said["message"]))
    return report


@pytest.mark.parametrize("case", [path.name for path in CASES])
def test_mypy_agrees(case: str, mypy_says: Report) -> None:
    assert mypy_says.get(case, {}) == expectations(0)[case]


@pytest.mark.parametrize("case", [path.name for path in CASES])
def test_pyright_agrees(case: str, pyright_says: Report) -> None:
    assert pyright_says.get(case, {}) == expectations(1)[case]


def test_every_case_expects_errors_and_types() -> None:
    assert len(CASES) >= 5
    for case, lines in expectations(0).items():
        said = set().union(*lines.values())
        assert any(what.startswith("reveals ") for what in said), f"{case} reveals no type"
        assert any(not what.startswith("reveals ") for what in said), f"{case} expects no error"
    assert set(expectations(0)) == {path.name for path in CASES}
