"""The pages of `docs` show what runs: each snippet is a file, runs here, and stands in its page word for word.

`UPDATE_SNIPPETS=1 pytest tests/unit/test_snippets.py` copies the files into the pages.
"""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SNIPPETS = sorted((DOCS / "snippets").glob("*.py"))
PAGES = [*sorted(DOCS.rglob("*.md")), DOCS.parent / "README.md"]
BLOCK = re.compile(r"^<!-- snippet: (?P<name>\S+) -->\n+```python\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"^<!-- snippet:", re.MULTILINE)
FENCE = re.compile(r"^```python\n", re.MULTILINE)


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) > 10
    assert BLOCK.findall("<!-- snippet: a -->\n```python\nb\n```\n") == [("a", "b\n")]


@pytest.mark.parametrize("path", SNIPPETS, ids=lambda path: path.stem)
def test_a_snippet_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS.parent).as_posix())
def test_a_page_shows_the_files_as_they_are(page: Path) -> None:
    text = page.read_text("utf-8")
    fresh = BLOCK.sub(lambda block: f"<!-- snippet: {block['name']} -->\n```python\n{source(block['name'])}```", text)
    if os.environ.get("UPDATE_SNIPPETS"):
        page.write_text(fresh, "utf-8")
        return
    assert len(BLOCK.findall(text)) == len(MARK.findall(text)), "a marker has no block of Python below it"
    assert fresh == text


def test_every_snippet_is_in_a_page_and_pages_have_no_other_python() -> None:
    texts = [page.read_text("utf-8") for page in PAGES if page.parent.name == "learn"]
    assert sum(len(FENCE.findall(text)) for text in texts) == sum(len(MARK.findall(text)) for text in texts)
    shown = {name for page in PAGES for name, _ in BLOCK.findall(page.read_text("utf-8"))}
    assert shown == {path.stem for path in SNIPPETS}


def source(name: str) -> str:
    path = DOCS / "snippets" / f"{name}.py"
    assert path.exists(), f"there is no {path}"
    return path.read_text("utf-8")
