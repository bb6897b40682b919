"""Puts the cards of several campaigns side by side, as the table of docs/reliability.md.

scripts/chaos --store sqlite --minutes 10 --json > sqlite.json      (and so on)
python -m tests.chaos.table sqlite.json postgres.json valkey.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos._card import Card

BOLD = frozenset({"jobs lost", "completions recorded twice", "other broken promises"})


def table(cards: Sequence[Card]) -> str:
    """A column for each card, a row for each figure."""
    columns = [dict(card.rows()) for card in cards]
    lines = ["| | " + " | ".join(card.version for card in cards) + " |", "|---" * (len(cards) + 1) + "|"]
    for name in columns[0]:
        if name != "machine":
            cells = [column[name] for column in columns]
            lines.append(_line([name, *cells], bold=name in BOLD))
    return "\n".join(lines)


def _line(cells: Sequence[str], *, bold: bool) -> str:
    return "| " + " | ".join(f"**{cell}**" if bold else cell for cell in cells) + " |"


def main(words: Sequence[str]) -> int:
    """The command."""
    cards = [Card(**json.loads(Path(word).read_text("utf-8"))) for word in words]
    if not cards:
        print((__doc__ or "").strip(), file=sys.stderr)  # noqa: T201 -- it is a command
        return 2
    print(table(cards))  # noqa: T201 -- the same
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
