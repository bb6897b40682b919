"""docs/semantics.md: the promises of the conformance suite, and which store was seen to keep them.

The page is written from the recording of a run (`_recorder.py`), never by hand, and every full test run compares its
own recording with the page. `scripts/semantics` writes it anew.

    python -m tests.conformance._semantics RECORDING            write the page
    python -m tests.conformance._semantics --check RECORDING    compare; answers 1 and says what differs
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from tidewheel.testing import conformance

PAGE: Final = Path(__file__).parents[2] / "docs" / "semantics.md"
KEPT: Final = "✓"
BROKEN: Final = "✗"
NOT_RUN: Final = "-"

Recording: TypeAlias = dict[str, dict[str, dict[str, str]]]
"""Store → promise ("TestClaim.test_no_slots_no_jobs") → case of the promise → "passed", "failed" or "skipped: why"."""
Marks: TypeAlias = dict[str, dict[str, str]]
"""Store → promise in words, with its chapter → mark."""

CHAPTERS: Final = {
    "TestEnqueue": "Enqueue",
    "TestRulesKeys": "Enqueue rules: who holds a key",
    "TestRulesReplace": "Enqueue rules: the job that waits is changed",
    "TestRulesWindow": "Enqueue rules: so many in a window",
    "TestBacklog": "Backlogs: how many may wait",
    "TestClaim": "Claim",
    "TestLastLife": "Last life",
    "TestBeat": "Beat",
    "TestSettle": "Settle",
    "TestSettleStale": "Settle: stale leases and repeats",
    "TestSweep": "Sweep",
    "TestRescue": "Rescue",
    "TestDeadLetters": "Dead letters",
    "TestRetention": "Retention",
    "TestGatesSlots": "Limits: slots",
    "TestGatesSeveral": "Limits: several at once, and the order",
    "TestGatesRates": "Limits: rates",
    "TestGatesHold": "Limits: shut by a handler",
    "TestGatesOrder": "Limits: one by one, in order",
    "TestGatesBreaker": "Limits: breakers",
    "TestGatesLimits": "Limits: declared, changed, paused",
    "TestPlaces": "Places in line: leads and turns",
    "TestExpiry": "Expiry",
    "TestGraphEnqueue": "Graphs: jobs that wait for others",
    "TestGraphEnds": "Graphs: the end of a child",
    "TestGraphShapes": "Graphs: all shapes",
    "TestGraphRetry": "Graphs: a job is retried",
    "TestMoves": "States",
    "TestAlter": "Cancel, retry, run now, delete",
    "TestList": "Get and list",
    "TestHistory": "History",
    "TestQueues": "Queues and workers",
    "TestWakeups": "Wake-ups",
    "TestLifecycle": "Opening, closing, migrating",
}
"""In the order of a job's life. The suite has more classes than this? Then the page does not show all it promises."""
_NEEDED: Final = {
    "memory": "memory",
    "SQLite": "SQLite",
    "PostgreSQL": r"PostgreSQL \d+",
    "Valkey or Redis": r"(Valkey|Redis) \d+",
    "a server that sentinels name": ".* with sentinels",
    "a cluster": ".* as a cluster",
}
"""What every machine can run, and how its columns are named."""
_ORDER: Final = ("memory", "SQLite", "PostgreSQL", "PgBouncer", "Valkey", "Redis", "sentinels", "cluster")
_NAMES: Final = {"on dead": "`on_dead`", "run at": "`run_at`", "next due": "`next_due`", "put queues": "`put_queues`"}
_OWNERS: Final = {
    "stores own": "store's own",
    "jobs own": "job's own",
    "callers choice": "caller's choice",
    "operators": "operator's",
}
_HEAD: Final = """# Semantics

What every store promises, and which were seen to keep it. The promises are the tests of
[the conformance suite](../src/tidewheel/testing/conformance), one row each; a row counts as kept (✓) when every case of
its test passed on that store. A dash says that it does not apply there; the reason stands below the table.

This page is written by `scripts/semantics` from the recording of a run, and `scripts/test` fails when its own run saw
anything else. Do not edit it: change the suite.
"""


class Promise(NamedTuple):
    """A test of the suite. `key` names it in a recording; `words` is its sentence."""

    key: str
    words: str


class Chapter(NamedTuple):
    """A class of the suite."""

    title: str
    about: str
    promises: tuple[Promise, ...]


def chapters() -> Iterator[Chapter]:
    """Today's suite, in the order of the page.

    Raises:
        LookupError: a class of the suite has no place on the page, or the other way round.
    """
    if set(CHAPTERS) != set(conformance.__all__):
        raise LookupError(
            f"CHAPTERS in {__file__} and the suite name different classes: "
            f"{sorted(set(CHAPTERS) ^ set(conformance.__all__))}. Give each a chapter."
        )
    for name, title in CHAPTERS.items():
        suite = getattr(conformance, name)
        module = inspect.getmodule(suite)
        about = " ".join(inspect.cleandoc((module and module.__doc__) or "").split("\n\n")[0].split())
        tests = {test: function for test, function in vars(suite).items() if test.startswith("test_")}
        yield Chapter(title, about, tuple(Promise(f"{name}.{test}", _words(test, tests[test])) for test in tests))


def _words(test: str, function: object) -> str:
    """`test_a_job_waits` as "A job waits", with what its docstring adds."""
    said = test.removeprefix("test_").replace("_", " ")
    for plain, right in {**_NAMES, **_OWNERS}.items():
        said = said.replace(plain, right)
    more = inspect.getdoc(function)
    said = said[0].upper() + said[1:]
    return f"{said}. {' '.join(more.split())}" if more else said


def stores(recording: Recording) -> list[str]:
    """The columns, newest server first within a store."""

    def place(store: str) -> tuple[int, int]:
        last = max(number for number, word in enumerate(_ORDER) if word in store)  # the way to it is named last
        version = re.search(r"\d+", store)
        return last, -int(version[0]) if version else 0

    return sorted(recording, key=place)


def mark(cases: dict[str, str]) -> str:
    """Of one promise on one store: kept only if at least one case ran and none did anything but pass."""
    if any(outcome == "failed" for outcome in cases.values()):
        return BROKEN
    return KEPT if cases and all(outcome == "passed" for outcome in cases.values()) else NOT_RUN


def render(recording: Recording) -> str:
    """The page."""
    columns = stores(recording)
    parts = [_HEAD]
    for chapter in chapters():
        lines = [f"## {chapter.title}", "", chapter.about, ""]
        lines.append(f"| | {' | '.join(columns)} |")
        lines.append(f"|---|{':-:|' * len(columns)}")
        notes: list[str] = []
        for promise in chapter.promises:
            found = [recording[store].get(promise.key, {}) for store in columns]
            lines.append(f"| {promise.words} | {' | '.join(mark(cases) for cases in found)} |")
            for store, cases in zip(columns, found, strict=True):
                why = sorted(
                    {outcome.partition(": ")[2] for outcome in cases.values() if outcome.startswith("skipped")}
                )
                notes += [f"- {store}: {promise.words}: {reason}." for reason in why]
        parts.append("\n".join([*lines, *(["", *notes] if notes else []), ""]))
    return "\n".join(parts)


def read(page: str) -> Marks:
    """The marks on a page."""
    marks: Marks = {}
    chapter, columns = "", []
    for line in page.splitlines():
        if line.startswith("## "):
            chapter = line.removeprefix("## ")
        elif line.startswith("| | "):
            columns = _cells(line)[1:]
        elif line.startswith("| "):
            words, *found = _cells(line)
            for store, one in zip(columns, found, strict=True):
                marks.setdefault(store, {})[f"{chapter}: {words}"] = one
    return marks


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def differences(recording: Recording, page: str) -> list[str]:
    """What the page says and this run did not see, or the other way round; empty when the page is true.

    A server that this machine lacks (the system's PostgreSQL) is not compared; a store without any server is an error.
    """
    told, seen = read(page), read(render(recording))
    problems = [
        f"No run on {what} was recorded, so the page cannot be compared."
        for what, column in _NEEDED.items()
        if not any(re.fullmatch(column, store) for store in seen)
    ]
    for store in set(told) & set(seen):
        problems += [
            f"{store}: {words}: the page says {told[store].get(words, 'nothing')}, this run {found}"
            for words, found in seen[store].items()
            if told[store].get(words) != found
        ]
        problems += [
            f"{store}: {words}: on the page and not in the suite" for words in told[store].keys() - seen[store].keys()
        ]
    return sorted(problems)


def gaps(recording: Recording) -> list[str]:
    """Promises that were broken, or that no case was run of."""
    return [
        f"{store}: {promise.words}: {'broken' if cases else 'not run'}"
        for chapter in chapters()
        for promise in chapter.promises
        for store in stores(recording)
        if not (cases := recording[store].get(promise.key, {})) or mark(cases) == BROKEN
    ]


def main(words: Sequence[str]) -> int:
    """See the head of this file."""
    recording: Recording = json.loads(Path(words[-1]).read_text(encoding="utf-8"))
    if words[0] == "--check":
        problems = differences(recording, PAGE.read_text(encoding="utf-8"))
        remedy = f"docs/{PAGE.name} is not what this run saw. Write it anew: scripts/semantics"
    else:
        problems = differences(recording, render(recording)) + gaps(recording)
        remedy = f"docs/{PAGE.name} stays as it is: a page is made from a run in which everything was kept."
    if problems:
        sys.stdout.write("\n".join([*problems, remedy, ""]))
        return 1
    if words[0] != "--check":
        PAGE.write_text(render(recording), encoding="utf-8")
    sys.stdout.write(f"docs/{PAGE.name}: {', '.join(stores(recording))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
