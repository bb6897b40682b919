"""The statements: one file each under `statements/`, read once.

`{rows}` in a text stands for as many groups of parameters as rows are written at once, `{columns}` for their names.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from itertools import count
from typing import Final

from tidewheel._store.ledger import Migration

_HERE: Final = files("tidewheel._store.sqlite")


@cache
def statement(name: str) -> str:
    """The text of `statements/<name>.sql` without its comments."""
    text = _HERE.joinpath("statements", f"{name}.sql").read_text(encoding="utf-8")
    return " ".join(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("--"))


@cache
def rows_statement(name: str, shared: tuple[str, ...], own: tuple[str, ...], rows: int) -> str:
    """The statement with `{columns}` filled in, and `{rows}` for so many rows.

    A column whose value is the same in all rows (`shared`) is one parameter for all of them; those come first.
    """
    numbers = count(len(shared) + 1)
    known = [f"?{number}" for number, _ in enumerate(shared, start=1)]
    groups = (f"({','.join([*known, *(f'?{next(numbers)}' for _ in own)])})" for _ in range(rows))
    return statement(name).format(columns=", ".join(shared + own), rows=",".join(groups))


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration, in order."""
    found = [
        Migration(int(entry.name[:3]), entry.name, entry.read_text(encoding="utf-8"))
        for entry in _HERE.joinpath("migrations").iterdir()
        if entry.name.endswith(".sql")
    ]
    return tuple(sorted(found))
