"""Bodies that ran at the same time and should not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def crowds(lines: Iterable[Mapping[str, Any]], name: Callable[[Mapping[str, Any]], str | None]) -> list[str]:
    """Moments when two bodies of one name ran, by what the bodies and the killer of workers wrote down. `name`: of a body that
    starts; None for one that does not matter.
    """
    bodies: dict[tuple[str, int], tuple[int, str]] = {}
    found: list[str] = []
    for line in sorted(lines, key=lambda line: float(line["at"])):
        lease = (line.get("job", ""), line.get("epoch", 0))
        if line["what"] == "start" and (body := name(line)) is not None:
            bodies[lease] = (line["worker"], body)
            crowd = Counter(one for _, one in bodies.values())
            found += [f"{one} runs {number} times at {line['at']}" for one, number in crowd.items() if number > 1]
        elif line["what"] == "gone":
            bodies = {one: body for one, body in bodies.items() if body[0] != line["worker"]}
        else:
            bodies.pop(lease, None)
    return found
