"""The layout in Redis: every key, and who reads it.

All keys begin with `{namespace}:`. The braces are a hash tag: in a cluster the whole namespace lies in one slot, so
that one script is one atom; to spread load, use several namespaces. Scripts are told `meta` as KEYS[1] and make the other
names from it, in the same slot, which a cluster allows. What it does not allow is a key that has gone to another node
already, or is not there, while the slot is on its way: such a script would break off in the middle. So in a cluster all
scripts name as KEYS[2] a key that is never made, `gate`: the server refuses them before they begin (TRYAGAIN or ASK).

| key                     | type   | what is in it |
|-------------------------|--------|---------------|
| `meta`                  | hash   | `schema` and `least` (see `SCHEMA`, `LEAST`), `seq` (last place in the order of the |
|                         |        | enqueue), `clock` (highest time seen), `history` (the server's name for its data when it was |
|                         |        | claimed from last) and `floor` (epochs are greater): see docs/adr/0010; |
|                         |        | `recounted`: the gate at which the next recount of slots goes on; `uses`: what somebody has ever |
|                         |        | used here: leads, marks (backlogs, expiry), graphs |
| `job:ID`                | hash   | `s` and `h`: the head, see below; `a` arguments; and where there are: `w` worker, `x` tags, |
|                         |        | meta and options (msgpack), `p` progress, `r` result, `e` error (msgpack: type, message, |
|                         |        | stack), `g` flow (JSON), `b` parked_by, `u` expires_at, `q` name of its backlog, `l` lead |
| `attempts:ID`           | list   | msgpack: epoch, attempt, worker, started_at, ended_at, outcome, error |
| `logs:ID`               | list   | msgpack: at, level, message; the newest 1000 |
| `all`                   | zset   | ids of all jobs by seq |
| `dead`                  | zset   | ids of the discarded ones by seq |
| `ready:N:QUEUE:KIND`    | zset   | the line of a queue and kind (N: bytes of the queue's name). All scores are 0, so the |
|                         |        | members' text is the order: priority (4 digits), 0 for lifo else 1, run_at (19), seq (16), |
|                         |        | the latter two as what is left to 2^53 for lifo; then the id |
| `kinds:QUEUE`           | set    | the kinds of the queue whose line is not empty: a claim merges those it wants |
| `suspect:N:QUEUE:KIND`, | zset,  | the same for jobs on their last life: a claim takes one of them at most |
| `suspects:QUEUE`        | set    | |
| `due`                   | zset   | seq (16 digits), s(cheduled) or r(etryable), id; by run_at |
| `leases`                | zset   | ids of the running jobs by end of lease |
| `ended:cN:QUEUE:KIND`   | zset   | seq (16 digits), id; of completed jobs (`f` instead of `c`: of the others), by finished_at |
| `groups`                | set    | the `cN:QUEUE:KIND` of the lines above that may have jobs |
| `own`                   | zset   | finished_at, seq (16 digits each), id; of ended jobs with a keeping time of their own, by |
|                         |        | the moment it is over |
| `unique`                | hash   | unique key: id of the live job that holds it |
| `keys`                  | hash   | key of a rule: who took it last (msgpack: job, since, until, used) |
| `keysdue`               | zset   | those keys by the moment to ask whether they are still needed |
| `backlog:NAME`          | zset   | ids of the jobs of a backlog that wait, by seq |
| `backlogs`              | set    | the NAMEs of the backlogs in which jobs wait |
| `expiring`              | zset   | seq (16 digits), id; of jobs that wait, by expires_at |
| `edges:ID`              | hash   | child of the job: msgpack values one behind the other: place, on_failure, and when it has |
|                         |        | ended: state, result, error |
| `open:ID`               | set    | its children that have not ended |
| `parents:ID`            | set    | the jobs that have this one for a child |
| `graphs`, `awaited`     | set    | ids of the jobs that have children, of those that others wait for |
| `counts`                | hash   | `STATE:QUEUE`: number of jobs; 0 where there are none any more, until a sweep |
| `queues`                | hash   | queue: 1 when paused, 0 when not; the stored settings |
| `declared`, `operator`  | hash   | limit, or key of a gate: its rule by the code's word, by the operator's (JSON) |
| `gates`                 | hash   | key of a gate: its limit and its state, as msgpack values one behind the other: limit, |
|                         |        | used, shut_until, waiting, needs, opens_at, level ... |
| `turns`                 | hash   | key of a gate with an order: id of the job that has the place |
| `gatekeys`              | zset   | the keys of `gates`; all scores are 0 |
| `opening`               | zset   | keys of gates by opens_at |
| `waiting:LIMIT`         | set    | keys of its gates that have jobs waiting |
| `parked:N:KEY:M:QUEUE:KIND` | zset | parked jobs of a queue and kind under a gate, as in `ready` (N, M: bytes of KEY, QUEUE) |
| `pairs:KEY`             | set    | the `M:QUEUE:KIND` of the gate's sets above |
| `scouts:N:KEY:M:QUEUE:KIND` | zset | ids of jobs that the gate let back into the line and nobody claimed yet; all scores are 0 |
| `workers`, `seen`       | hash,  | worker id: JSON of `WorkerInfo`; worker ids by last beat |
|                         | zset   | |
| `gate`                  | -      | nothing, ever: see above |
| `hint:KIND`             | channel| an empty message; KIND is the text of a `Wakeup` |

The head is all that scripts look at, as msgpack values one behind the other. `s` changes only when an enqueue replaces the
priority: seq, queue, kind,
priority, lifo, max_attempts, max_crashes, enqueued_at, unique_key, keep_completed, keep_failed, on_dead. `h` does: state,
epoch, attempt, crashes, run_at, cancel_requested, started_at, finished_at, lease_until. What there is none of is `false`.
Two small values are read and written faster than twenty fields, and while none is longer than 64 bytes the server keeps
the hash in one piece. Times beyond 2^53 microseconds (year 2255) stand as text, for Lua counts in doubles.
"""

from __future__ import annotations

from typing import Final

SCHEMA: Final = 3
"""The layout above. Every change of it gets the next number, and `migrate.lua` what brings the one before up to it.

1. the first
2. jobs on their last life have lines of their own (`suspect:`, `suspects:`); limits
3. keys of rules, backlogs, expiry, graphs. Code for layout 2 may go on beside ours: what is new are keys and fields of jobs
   that use them, and jobs that wait for others are parked where it does not look. But it starts jobs that have expired, leaves
   those that it starts in their backlog (whoever asks for a place there looks for such jobs) and tells nobody of the ends of
   jobs that others wait for (a sweep does). So first every process gets the new version, then the code uses these.
"""
LEAST: Final = 2
"""The oldest layout whose code may work on this one, beside ours. A change that only adds leaves it as it was; a change that
older code would break, or break on, raises it to `SCHEMA`.
"""

TYPES: Final = {
    "meta": "hash",
    "all": "zset",
    "dead": "zset",
    "due": "zset",
    "leases": "zset",
    "groups": "set",
    "own": "zset",
    "unique": "hash",
    "counts": "hash",
    "queues": "hash",
    "declared": "hash",
    "operator": "hash",
    "gates": "hash",
    "turns": "hash",
    "gatekeys": "zset",
    "opening": "zset",
    "keys": "hash",
    "keysdue": "zset",
    "backlogs": "set",
    "expiring": "zset",
    "graphs": "set",
    "awaited": "set",
    "workers": "hash",
    "seen": "zset",
}
"""The keys whose whole name is known, and their types: what else lies there is not ours."""


def key(namespace: str, name: str) -> str:
    """The full name of a key."""
    return f"{{{namespace}}}:{name}"
