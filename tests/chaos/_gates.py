"""The judge's third look: did limits hold, and did parents wait, at every moment of a campaign?

By the changes that the store recorded, in their order: a job holds its slots from the change that made it running until
the next one. (What bodies wrote down would not do: a frozen worker's body may go on beside the one that took over.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from tests.e2e._history import Change, Verdict

from tidewheel import Job

PROMISES: Final = frozenset({"over its limit", "before its children"})
"""Those that are judged here."""


def judge_gates(verdict: Verdict, changes: Sequence[Change], rows: Mapping[str, Job], slots: Mapping[str, int]) -> None:
    """Add the moments when a gate of a limit had more attempts than the limit has slots."""
    held: Counter[str] = Counter()
    for change in changes:
        job = rows.get(change.job)
        gates = [one for one in job.passes if one.limit in slots] if job is not None else []
        if change.before == "running" and change.after != "running":
            held.subtract(one.key for one in gates)
        elif change.after == "running" and change.before != "running":
            held.update(one.key for one in gates)
            for one in gates:
                if held[one.key] > slots[one.limit]:
                    verdict.add(
                        "over its limit", change.job, f"{one.key} had {held[one.key]} of {slots[one.limit]} slots"
                    )


def judge_parents(verdict: Verdict, changes: Sequence[Change], children: Mapping[str, Sequence[str]]) -> None:
    """Add the parents that started before one of their children had ended."""
    ended: set[str] = set()
    for change in changes:
        if change.after in ("completed", "cancelled", "discarded"):
            ended.add(change.job)
        elif change.after == "running" and (early := set(children.get(change.job, ())) - ended):
            verdict.add("before its children", change.job, f"started before {', '.join(sorted(early))}")
