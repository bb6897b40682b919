"""The budgets of the project: sizes, what an import may load, what is public, and what no file may say.

Each finder here is a function that is first shown a sample it must object to, so that no test passes by finding nothing.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import tidewheel
from tidewheel._store.base import Store

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tidewheel"
LINES_WARN, LINES_MAX = 400, 600
OPERATIONS_MAX = 24
HEAVY = (
    *("PIL", "aiohttp", "aiosmtpd", "aiosmtplib", "asyncpg", "click", "email.mime", "http.server", "multiprocessing"),
    *("psycopg", "redis", "rich", "smtplib", "sqlalchemy", "sqlite3", "starlette", "uvloop", "xlsxwriter"),
)
"""Modules (with what is below them) that a bare `import tidewheel` must not load."""
LEFT_OUT = {"__pycache__", "build", "dist", "demo-output", "bench-output", "node_modules"}


def left_out(name: str) -> bool:
    return name in LEFT_OUT or name.endswith(".egg-info") or (name.startswith(".") and name != ".ci")


def walked() -> Iterator[Path]:
    """Every file below the top, without the folders that tools fill (some of which others may not read)."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not left_out(name)]
        yield from (Path(folder, name) for name in names)


def project_files() -> list[Path]:
    """Every file of the project: by git where there is a clone, else what is there."""
    found = walked()
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if asked.returncode == 0:  # else it is not our clone: git refuses another user's
            found = (ROOT / name for name in asked.stdout.split("\0") if name)
    return sorted(
        path
        for path in found
        if not any(left_out(part) for part in path.relative_to(ROOT).parts[:-1])
        and path.suffix not in {".pyc", ".db", ".log"}
        and path.is_file()
    )


def text_files() -> Iterator[tuple[Path, str]]:
    for path in project_files():
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture, a font
            continue


def test_the_file_list_is_the_project() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in project_files()}

    assert {"pyproject.toml", ".ci/run", "scripts/test", "src/tidewheel/_env.py", "tests/unit/test_budgets.py"} <= names
    assert not [name for name in names if ".venv" in name or ".git/" in name]


# --- sizes ---


@pytest.mark.filterwarnings("always:long file")
def test_no_file_is_too_long() -> None:
    lengths = {path: text.count("\n") for path, text in text_files() if path.suffix in {".py", ".sql", ".lua", ".sh"}}
    assert len(lengths) > 20

    for path, lines in sorted(lengths.items()):
        if LINES_WARN < lines <= LINES_MAX:
            warnings.warn(f"long file: {path} has {lines} lines; {LINES_WARN} is a smell", stacklevel=1)
    too_long = {str(path): lines for path, lines in lengths.items() if lines > LINES_MAX}
    assert too_long == {}, f"split these by what they do; {LINES_MAX} lines is the limit"


def test_the_store_has_few_operations() -> None:
    operations = {
        name
        for part in Store.__mro__
        if part.__module__ == Store.__module__
        for name, value in vars(part).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }

    assert {"enqueue", "claim", "beat", "settle", "sweep", "alter", "migrate"} <= operations
    assert len(operations) <= OPERATIONS_MAX, f"one more needs a decision in docs/adr: {sorted(operations)}"


# --- what an import loads ---


def loaded_by(statement: str) -> set[str]:
    """Modules that a fresh Python has after the statement and had not before it."""
    program = (
        f"import json, sys; before = set(sys.modules); {statement}; print(json.dumps(list(set(sys.modules) - before)))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(run.stdout))


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if any(name == bad or name.startswith(f"{bad}.") for bad in HEAVY)}


def test_a_bare_import_loads_no_driver_and_no_server() -> None:
    assert heavy(loaded_by("import sqlite3, multiprocessing.pool")) >= {"sqlite3", "multiprocessing.pool"}

    loaded = loaded_by("import tidewheel; tidewheel.App")
    assert {"tidewheel", "tidewheel._app", "msgspec"} <= loaded
    assert heavy(loaded) == set()


def outside_imports(source: str) -> set[str]:
    """Top-level names that a file imports anywhere in it and that neither Python nor Tidewheel brings."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"tidewheel"}


def test_the_core_imports_only_the_standard_library_and_msgspec() -> None:
    assert outside_imports("def f():\n    from click.core import x\nimport os, msgspec, redis.asyncio\n") == {
        *("click", "msgspec", "redis")
    }

    inner = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in OUTER]
    assert len(inner) > 20
    found = {
        path.relative_to(SOURCE): outside_imports(path.read_text("utf-8"))
        - {"msgspec", *DRIVERS.get(path.parent.name, ())}
        for path in inner
    }
    assert {path: names for path, names in found.items() if names} == {}


OUTER = {"_cli", "_demo", "_bench", "testing", "__main__.py"}
"""What may use other packages: the rest of `src/tidewheel` is the core."""
DRIVERS = {"postgres": ("asyncpg",), "redis": ("hiredis",), "caller": ("psycopg", "sqlalchemy")}
"""The folder of a store may use its driver, the adapters for connections of the caller's may use theirs."""


# --- what is public ---


def test_all_is_sorted_and_complete() -> None:
    def constants_classes_functions(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    visible = {
        name
        for name in dir(tidewheel)
        if not name.startswith("_") and not isinstance(getattr(tidewheel, name), types.ModuleType)
    }

    assert len(tidewheel.__all__) >= 20
    assert list(tidewheel.__all__) == sorted(tidewheel.__all__, key=constants_classes_functions)
    assert visible == {name for name in tidewheel.__all__ if not name.startswith("_")}


def own_doc(thing: object) -> str:
    """The docstring that was written for it: not an inherited one, and not the signature a dataclass makes up."""
    doc = vars(thing).get("__doc__") if isinstance(thing, type) else getattr(thing, "__doc__", None)
    return "" if not doc or doc.startswith(f"{getattr(thing, '__name__', '')}(") else doc


def undocumented(name: str, thing: object) -> Iterator[str]:
    if (isinstance(thing, type) or inspect.isroutine(thing)) and not own_doc(thing):
        yield name
    if not isinstance(thing, type):
        return
    for part in thing.__mro__:
        if not part.__module__.startswith("tidewheel"):
            continue
        for member, value in vars(part).items():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if not member.startswith("_") and inspect.isfunction(function) and not function.__doc__:
                yield f"{name}.{member} ({part.__module__})"


def test_every_public_name_says_what_it_is() -> None:
    class Silent:
        def method(self) -> None: ...

    Silent.__module__ = "tidewheel.sample"
    assert list(undocumented("Silent", Silent)) == ["Silent", "Silent.method (tidewheel.sample)"]

    public = {name: getattr(tidewheel, name) for name in tidewheel.__all__}
    assert sum(isinstance(thing, type) for thing in public.values()) >= 10
    assert [missing for name, thing in public.items() for missing in undocumented(name, thing)] == []


# --- what files say ---

MENTIONED = re.compile(
    r"(?<![\w./:-])(?:\./)?"
    r"((?:\.ci|bench|docs|examples|requirements|scripts|src|tests)/[\w./-]*\w|(?:AGENTS|CHANGELOG|CONTRIBUTING|README)\.md"
    r"|LICENSE|Makefile|pyproject\.toml)(?![\w*<{])"
)
LINKED = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


def mentioned(text: str, folder: Path) -> set[Path]:
    """Files of the project that a page speaks of (from the top) or links to (from its own folder)."""
    return {ROOT / name for name in MENTIONED.findall(text)} | {folder / name for name in LINKED.findall(text)}


def test_pages_mention_only_files_that_exist() -> None:
    sample = "Run `scripts/test`, see [this](docs/none.md#top), [that](https://example.org/x) and my/tests/x."
    assert mentioned(sample, ROOT) == {ROOT / "scripts/test", ROOT / "docs/none.md"}

    pages = {path: text for path, text in text_files() if path.suffix == ".md"}
    assert {Path("README.md"), Path("CONTRIBUTING.md"), Path("AGENTS.md")} <= set(pages)
    assert {ROOT / "scripts/test", ROOT / "scripts/demo"} <= mentioned(pages[Path("README.md")], ROOT)
    missing = {
        f"{path}: {file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}"
        for path, text in pages.items()
        for file in mentioned(text, ROOT / path.parent)
        if not file.exists()
    }
    assert missing == set()


# The @ keeps the patterns from finding themselves: this file is searched as well.
MACHINES = (
    r"(?<![\w.$}])/@(?:root|work)/",
    r"(?<![\w.$}])/@(?:home|Users)/(?!ada\b)\w",
    r"[A-Z]:\\\\?@Users",
    r"p@ypi\.org",
    r"python@hosted",
    r"npm@js\.(?:org|com)",
    r"deb\.@debian\.org",
    r"--(?:extra-)?index@-url",
    r"--find@-links",
    r"--trusted@-host",
)
OF_A_MACHINE = re.compile("|".join(MACHINES).replace("@", ""))


def test_no_file_names_a_machine_or_an_index() -> None:
    for sample in ("cd /@root/x", "see /@home/bob", "--index@-url x", "https://p@ypi.org/simple", r"C:\@Users"):
        assert OF_A_MACHINE.search(sample.replace("@", "")), sample
    assert not OF_A_MACHINE.search("$HOME/x ~/x docs/work/y ./root/z sqlite:////var/lib/jobs.db")

    searched = 0
    found = []
    for path, text in text_files():
        searched += 1
        found += [
            f"{path}:{n}: {line.strip()}" for n, line in enumerate(text.split("\n"), 1) if OF_A_MACHINE.search(line)
        ]
    assert searched > 50
    assert found == []


def sleeps(source: str) -> list[int]:
    """Lines that wait for a time that is written down: `time.sleep(0.1)`, `await asyncio.sleep(1)`, `sleep(2 * 3)`."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        if ast.unparse(node.func) not in {"sleep", "time.sleep", "asyncio.sleep", "anyio.sleep"}:
            continue
        written_down = not any(isinstance(part, ast.Name | ast.Attribute) for part in ast.walk(node.args[0]))
        if written_down and ast.unparse(node.args[0]) not in {"0", "0.0"}:
            lines.append(node.lineno)
    return sorted(lines)


def test_tests_do_not_sleep() -> None:
    assert sleeps("time.sleep(1)\nawait asyncio.sleep(0)\nsleep(2 * .5)\nasyncio.sleep(delay)\nclock.sleep(60)") == [
        1,
        3,
    ]

    waits_for_real = {"e2e", "chaos", "servers"}  # these start processes, whose beginning and end are not ours to say
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.relative_to(ROOT).parts[1] not in waits_for_real]
    files += (SOURCE / "testing").rglob("*.py")
    assert len(files) > 10
    found = [f"{path.relative_to(ROOT)}:{line}" for path in files for line in sleeps(path.read_text("utf-8"))]
    assert found == [], "await an event, or move a FakeClock"
