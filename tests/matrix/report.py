"""docs/resilience.md, from what is kept in `.matrix/`."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from .kept import KEPT, REPOSITORY, kept

Json = dict[str, Any]

PAGE = REPOSITORY / "docs" / "resilience.md"
_VERDICTS = ("same end", "gave up for now, then same end", "refused, then same end", "not met", "defect")

_HEAD = """\
# Resilience: what was tried, and how it ended

Written by `make matrix`, `make canary` and `make mutations` (`python -m tests.matrix report` writes it anew from what
they kept). Each command goes on where it stopped. Everything runs against the [sandbox](sandbox.md), never yet against
Azure.

## How

- A case starts from an empty subscription (`provision`) or a finished environment (the other flows), on a sandbox at a
  thousand times Azure's speed, whose operations last moments. One seed for all.
- Flows run as they are, but without Prefect: no task runs, so no retries of steps. What Prefect would have repeated
  ends the run here, and running again must mend it. The lock of the Prefect server is left out; the claim on the
  environment is taken, and a killed run's claim counts as one of the same server, so that it isn't waited for.
- Read time-outs are 0.7 s instead of a minute. A connection is refused on our side, all else is done by the sandbox.
- **The same end** means: every ARM resource and every Kubernetes object that isn't made by Kubernetes itself, field by
  field, but for times, drawn ids and host names, and a generation's number and suffix.
- **Refused** means: a `ProvisioningError` that names what it is about, Azure's code and what to do, and then, run again
  without the fault, the same end. **Gave up for now** is such a refusal that Prefect itself would have retried.
- **Not met**: the run came to its end without making that call, since the order of its polls differs from run to run.
"""

# By hand: what the matrices found in the product so far.
_FOUND = """\
## Found by it, and mended

| what | where | test |
| --- | --- | --- |
| an update of Grafana that Azure cancels leaves the link and the state Canceled, and the run took that for done | \
`tasks/grafana.py` | `tests/tasks/test_grafana.py`, "canceled is sent again" |
| a proxy's page with status 200 in place of the API server's list of types ended the run with a bare 404 | \
`cloud/kubernetes_api.py` | `tests/tasks/test_kubernetes_steps.py`, "a page in place of a list of types" |
| tracebacks in logs and in the Prefect database held Azure's error text as it came, with any secret in it | \
`cloud/calls.py` | `tests/cloud/test_calls.py`, "no traceback holds" |
| at its deadline, an operation that never ends was told without what Azure says of it | \
`cloud/resources.py` | `tests/tasks/test_hangs.py` |

Known and left: a rebuild that is killed after its last write has done its work, and nothing says so; run again, it is
the next rebuild. A request that Azure carries out long after it let us time out (25 of its minutes in the fault "read
time-out") can undo what came later: in one of four runs of a drawn case, Grafana's late creation took its link, which
the next run finds and mends; and once a group's late tags made the group again, empty, after a rebuild had deleted
it.
"""


def write_report() -> None:
    """Write the page."""
    parts = [
        _HEAD,
        _matrix(
            "One fault at every call",
            "faults",
            "Every call of a clean run, equal reads as first, middle and last, with each fault that makes sense there.",
        ),
        _by_fault(),
        _matrix("One to three faults, answers late at random", "seeded", "200 seeded runs."),
        _matrix(
            "kill -9 before and after every write",
            "kills",
            "Then run again: the same end, nothing made twice or deleted that isn't in a clean run, and each write at "
            "most once more. In blue_green a complete environment is there at the moment of the kill.",
        ),
        _matrix(
            "Somebody else at the cluster",
            "races",
            "Just before each write to the cluster and its pools: a person's tag, which must stay, and an operation on "
            "a pool that our write then meets.",
        ),
        _defects(),
        _FOUND,
        _canary(),
        _mutations(),
    ]
    PAGE.write_text("\n".join(part.rstrip("\n") + "\n" for part in parts if part))


def _matrix(title: str, part: str, about: str) -> str:
    outcomes = kept(part)
    count = KEPT / f"{part}.count"
    whole: Json = json.loads(count.read_text()) if count.exists() else {}
    if not outcomes:
        return f"## {title}\n\n{about}\n\nNot run yet."
    by_flow: dict[str, Counter[str]] = defaultdict(Counter)
    for one in outcomes:
        by_flow[_flow(one)][one["verdict"]] += 1
    rows = [
        [flow, whole.get(flow, "?"), sum(found.values()), *(found[verdict] for verdict in _VERDICTS)]
        for flow, found in sorted(by_flow.items())
    ]
    rows += [
        [flow, number, 0, *[0] * len(_VERDICTS)]
        for flow, number in sorted(whole.items())
        if flow not in by_flow
    ]
    total = [
        sum(int(row[at]) for row in rows if str(row[at]).isdigit()) for at in range(1, 3 + len(_VERDICTS))
    ]
    rows.append(["all", *total])
    took_s = sum(one["took_s"] for one in outcomes) / len(outcomes)
    return (
        f"## {title}\n\n{about}\n\n"
        + _table(["flow", "cases", "run", *_VERDICTS], rows)
        + f"\n\n{took_s:.1f} s a case on average."
    )


def _by_fault() -> str:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for one in kept("faults"):
        name = re.sub(r"^[^:]+: (.*?) at [A-Z]+ /.*", r"\1", one["id"])
        found[name][one["verdict"]] += 1
    if not found:
        return ""
    rows = [
        [name, sum(counts.values()), *(counts[verdict] for verdict in _VERDICTS)]
        for name, counts in sorted(found.items())
    ]
    return _table(["fault", "run", *_VERDICTS], rows)


def _defects() -> str:
    found = [
        (part, one)
        for part in ("faults", "seeded", "kills", "races")
        for one in kept(part)
        if one["verdict"] == "defect"
    ]
    if not found:
        return "## Defects that stand\n\nNone among what was run."
    lines = [f"- {part}: {_short(one['id'])}: {_short(one['detail'])[:400]}" for part, one in found]
    return "## Defects that stand\n\n" + "\n".join(lines)


def _canary() -> str:
    file = KEPT / "canary.json"
    if not file.exists():
        return "## Secrets\n\nNot run yet."
    found: Json = json.loads(file.read_text())
    return (
        "## Secrets\n\n"
        f"Planted: {', '.join(found['secrets'])}; every access token is known by its form. Runs of `provision` that "
        f"succeed, fail, crash and are interrupted, on a Prefect server, all loggers at DEBUG: {len(found['runs'])}. "
        f"Searched: {found['files']} files (output, Prefect database, home, temporary files, ledger), the arguments "
        f"of {found['processes']} processes. **Found: {found['found']}.** A leak planted afterwards is "
        f"{'found' if found['finds_a_planted_one'] else 'NOT found'}. Storage keys are never asked for; the planted "
        f"one is in an error text of Azure's. The server's table of logs held {found['log_lines']} lines"
        + ("." if found["log_lines"] else ", so nothing can be said of it.")
    )


def _mutations() -> str:
    file = KEPT / "mutations.json"
    if not file.exists():
        return "## Guards taken away\n\nNot run yet."
    found: list[Json] = json.loads(file.read_text())
    caught = sum(one["verdict"] == "caught" for one in found)
    rows = [[one["guard"], f"`{one['test'].split('::')[-1]}`", one["verdict"]] for one in found]
    return (
        f"## Guards taken away\n\nEach by itself, in a copy; the named test passes before and must fail then. "
        f"{caught} of {len(found)} were noticed.\n\n" + _table(["guard", "test", "verdict"], rows)
    )


def _flow(one: Json) -> str:
    return str(one["id"]).partition(":")[0]


def _short(text: str) -> str:
    return re.sub(r"/subscriptions/[0-9a-f-]{36}", "", " ".join(text.split()))


def _table(head: list[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
