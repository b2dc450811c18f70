"""docs/resilience.md, from the counts in docs/resilience.json, which each part of the matrix replaces by its own."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from .kept import REPOSITORY

Json = dict[str, Any]

FIGURES = REPOSITORY / "docs" / "resilience.json"
REPORT = FIGURES.with_suffix(".md")
_VERDICTS = ("same end", "gave up for now, then same end", "refused, then same end", "not met", "defect")

_HEAD = """\
# Resilience: what was tried, and how it ended

Written by `make matrix`, `make canary` and `make mutations` from what they counted, which is in
[resilience.json](resilience.json); `make matrix` goes on where it stopped. Everything runs against the
[sandbox](sandbox.md), never yet against Azure.

## How

- A case starts from an empty subscription (`provision`) or a finished environment (the other flows), on a sandbox at a
  thousand times Azure's speed, whose operations last moments. One seed for all.
- Flows run as they are, but without Prefect: no task runs, so no retries of steps. What Prefect would have repeated
  ends the run here, and running again must mend it. The lock on the environment is as it is; after a kill Azure's clock
  is brought to where the dead run's heartbeat is over.
- Sleepers, and runs that are ended under Prefect, are whole commands and servers, at twenty times Azure's speed. The
  lock is five times as fast, as a busy machine's pauses would count as sleep else; one case of each is at the shipped
  values.
- Read time-outs are 0.7 s instead of a minute. A connection is refused on our side, all else is done by the sandbox.
- **The same end** means: every ARM resource and every Kubernetes object that isn't made by Kubernetes itself, field by
  field, but for times, drawn ids and host names, and a generation's number and suffix.
- **Refused** means: a `ProvisioningError` that names what it is about, Azure's code and what to do, and then, run again
  without the fault, the same end. **Gave up for now** is such a refusal that Prefect itself would have retried.
- **Not met**: the run came to its end without making that call, since the order of its polls differs from run to run.
"""

_OF_DATABASE_FAULTS = (
    "`deploy_database` of one instance over a finished environment, on real PostgreSQL and barman-cloud, at a hundred "
    "times Azure's speed: each fault at each of its calls, and at those of its pods that archive WAL. The end counts "
    "the Cluster's phase, ready instances, timeline and archive, the databases and the first backup, too."
)
_OF_DATABASE_KILLS = (
    "Three instances. The flow's process is killed, and the same run again. The same end, as above; and one primary at "
    "any instant, by a witness that looks every 20 ms at what the servers' processes do."
)

# By hand: what the matrices found in the product so far.
_FOUND = """\
## Found by it, and mended

| what | where | test |
| --- | --- | --- |
| an update of Grafana that Azure cancels leaves the link and the state Canceled, and the run took that for done | \
`tasks/grafana.py` | `tests/tasks/test_grafana.py`, "canceled is sent again" |
| a proxy's page with status 200 in place of the API server's list of types ended the run with a bare 404 | \
`src/aks_postgres/kubernetes/client.py` | `tests/tasks/test_kubernetes_steps.py`, "a page in place of a list of types" |
| tracebacks in logs and in the Prefect database held Azure's error text as it came, with any secret in it | \
`src/aks_postgres/arm/retry.py` | `tests/arm/test_calls.py`, "no traceback holds" |
| at its deadline, an operation that never ends was told without what Azure says of it | \
`src/aks_postgres/arm/reconcile.py` | `tests/tasks/test_hangs.py` |
| a role assignment that Azure didn't show at one look ended a rebuild | \
`tasks/verify.py` | `tests/tasks/test_verify.py`, "for a moment" |
| a group that Azure didn't show at the last look was written anew to be marked as current, and lost its other tags | \
`tasks/resource_group.py` | `tests/tasks/test_resource_group.py`, "for a moment" |
| a write that arrived after its time-out undid what was done in between: Grafana's creation took its link | \
`src/aks_postgres/arm/reconcile.py` | `tests/tasks/test_every_resource.py`, "arrives after its time out" |
| a page of a group's list that wasn't found was taken for the end of the group, and the group was deleted as empty | \
`src/aks_postgres/resources/group_contents.py` | `tests/flows/test_lying_lists.py`, "has nothing in it" |
| of the rule groups that Azure recommends only the first page was read: a rebuild could end well with fewer | \
`tasks/managed_prometheus.py` | `tests/flows/test_lying_lists.py`, "to their last page" |
| woken beside a finished environment, a `provision` that slept while it looked advised to tear it down | \
`src/aks_postgres/runs/write_lock.py` | `tests/flows/test_one_writer.py`, "finds after it slept" |
| run again after a SIGHUP while the backup account was being made, a run held its heartbeat alone, no lease | \
`src/aks_postgres/runs/write_lock.py` | `tests/flows/test_one_writer.py`, "account that comes later" |
| woken from a sleep, a run with a heartbeat alone wrote though another run had come and gone | \
`src/aks_postgres/runs/write_lock.py` | `tests/flows/test_one_writer.py`, "no sleeper writes later" |
| killed between the operator's new settings and its restart, a run left an operator without them for good | \
`tasks/database/components.py` | `tests/tasks/test_database.py`, "ran when its settings" |
| the slower one of two runs that took a lock without a lease was cancelled, or wrote by what it had read before | \
`src/aks_postgres/runs/write_lock.py` | `tests/flows/test_one_writer.py`, "before it is certain" |

Known and left: a rebuild that is killed after its last write has done its work, and nothing says so; run again, it is
the next rebuild. A change of a node pool that begins and ends between our look at the cluster and our write of it, less
than a second later, would be undone by it: [such a change leaves the cluster's eTag as it
was](https://learn.microsoft.com/azure/aks/use-etags), and a cluster's write carries its pools. One that is still under
way makes Azure refuse our write, and stays.

Whole runs and processes: two runs at once, `tests/flows/test_one_writer.py` and `tests/end_to_end/test_one_writer.py`;
`provision` against `tear_down`, `tests/matrix/test_races.py`; the real az at work on the cluster meanwhile,
`tests/az/test_in_the_middle.py`; kill -9 of the flow's process, its worker and the Prefect server,
`tests/end_to_end/test_death.py` and `tests/end_to_end/test_one_writer.py`.
"""


def read_figures() -> Json:
    """What was counted until now, by part."""
    found: Json = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return found


def write_figures(part: str, counted: Json) -> None:
    """Put a part's counts into docs/resilience.json, and write the page anew.

    Args:
        part: a part of the matrix, `canary` or `mutations`.
        counted: its counts.
    """
    figures = read_figures() | {part: counted | {"date": f"{datetime.now(UTC):%d %B %Y}"}}
    FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    REPORT.write_text(report(figures))


def counts(outcomes: list[Json], whole: dict[str, int]) -> Json:
    """The counts of a part of the matrix.

    Args:
        outcomes: of its cases that were run.
        whole: how many cases there are, by flow.
    """
    by_flow: dict[str, Counter[str]] = defaultdict(Counter, {flow: Counter() for flow in whole})
    by_fault: dict[str, Counter[str]] = defaultdict(Counter)
    for one in outcomes:
        by_flow[_flow(one)][one["verdict"]] += 1
        if fault := re.match(r"[^:]+: (.*?) at [A-Z]+ /", one["id"]):
            by_fault[fault[1]][one["verdict"]] += 1
    defects = [one for one in outcomes if one["verdict"] == "defect"]
    return {
        "cases": whole,
        "by_flow": by_flow,
        "by_fault": by_fault,
        "handed_over": sum(one.get("handed_over", 0) for one in outcomes),
        "took_s": round(sum(one["took_s"] for one in outcomes), 1),
        "defects": [f"{_short(one['id'])}: {_short(one['detail'])[:400]}" for one in defects],
    }


def report(figures: Json) -> str:
    """docs/resilience.md."""
    parts = [
        _HEAD,
        _matrix(
            "One fault at every call",
            figures.get("faults"),
            "Every call of a clean run, equal reads as first, middle and last, with each fault that makes sense there.",
        ),
        _by_fault(figures.get("faults")),
        _matrix("One to three faults, answers late at random", figures.get("seeded"), "200 seeded runs."),
        _matrix(
            "kill -9 before and after every write",
            figures.get("kills"),
            "Then run again: the same end, nothing made twice or deleted that isn't in a clean run, and each write at "
            "most once more. In blue_green a complete environment is there at the moment of the kill.",
        ),
        _matrix(
            "Somebody else at the cluster",
            figures.get("races"),
            "Just before each write to the cluster and its pools: a person's tag, which must stay, and an operation on "
            "a pool that our write then meets.",
        ),
        _matrix(
            "Lists that lie",
            figures.get("lies"),
            "Every list that a deleting flow reads in a clean run, of ARM and of Kubernetes, answered with 200 "
            "and `{}`, null, a Status, another kind, null entries, an array of nulls, or a first page without "
            "its next one: from its first read on, over an environment with something in it that must stop the "
            "flow and that the lie would hide; and from its last read on. Nothing is deleted that isn't without "
            "the lie, and the refusal names the list.",
        ),
        _matrix("Sleepers", figures.get("sleepers"), _of_sleepers(figures.get("sleepers"))),
        _matrix(
            "Runs under Prefect that are ended",
            figures.get("prefect-kills"),
            "The command with a temporary server, and runs on a worker: kill -9, SIGTERM and SIGHUP at writes all over "
            "a clean run. What can end itself leaves no lease, no heartbeat and no process. The same again goes on "
            "within 75 s by Azure's clock, and ends as a clean run does, lock and tags included.",
        ),
        _matrix("A database: one fault at every call", figures.get("database-faults"), _OF_DATABASE_FAULTS),
        _matrix(
            "A database: kill -9 before and after every write",
            figures.get("database-kills"),
            _OF_DATABASE_KILLS,
        ),
        _defects(figures),
        _FOUND,
        _canary(figures.get("canary")),
        _mutations(figures.get("mutations")),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _matrix(title: str, counted: Json | None, about: str) -> str:
    if counted is None:
        return f"## {title}\n\n{about}\n\nNot run yet."
    rows = [
        [flow, counted["cases"].get(flow, 0), sum(found.values()), *_of_verdicts(found)]
        for flow, found in sorted(counted["by_flow"].items())
    ]
    total = [sum(int(row[at]) for row in rows) for at in range(1, 3 + len(_VERDICTS))]
    rows.append(["all", *total])
    each_s = counted["took_s"] / max(1, total[1])
    return (
        f"## {title}\n\n{about} {counted['date']}.\n\n"
        + _table(["flow", "cases", "run", *_VERDICTS], rows)
        + f"\n\n{each_s:.1f} s a case on average, {counted['processes']} at a time{_at(counted)}."
    )


def _at(counted: Json) -> str:
    return f"; commit {counted['commit']}" if counted.get("commit") else ""


def _of_sleepers(counted: Json | None) -> str:
    handed_over = (
        f" Writes handed over before the stop and answered after it: {counted['handed_over']}."
        if counted
        else ""
    )
    return (
        "The command's process is stopped (SIGSTOP) at writes all over a clean run; another flow takes over and ends; "
        "then it is woken (SIGCONT): it begins no write any more, and the end stays as the other flow left it. Both on "
        "one Prefect server, on two terminals with temporary servers, or on two servers."
        + handed_over
        + " Not among them, and no sleeper: a `provision` that waits at its first write until another one's change has "
        "ended looks again, and then writes."
    )


def _of_verdicts(found: Json) -> list[int]:
    return [found.get(verdict, 0) for verdict in _VERDICTS]


def _by_fault(counted: Json | None) -> str:
    if counted is None:
        return ""
    rows = [
        [name, sum(found.values()), *_of_verdicts(found)]
        for name, found in sorted(counted["by_fault"].items())
    ]
    return _table(["fault", "run", *_VERDICTS], rows)


def _defects(figures: Json) -> str:
    found = [
        f"- {part}: {defect}"
        for part in (
            *("faults", "seeded", "kills", "races", "lies", "sleepers", "prefect-kills"),
            *("database-faults", "database-kills"),
        )
        for defect in figures.get(part, {}).get("defects", [])
    ]
    return "## Defects that stand\n\n" + ("\n".join(found) or "None among what was run.")


def _canary(found: Json | None) -> str:
    if found is None:
        return "## Secrets\n\nNot run yet."
    places = f" ({'; '.join(found['places'])})" if found.get("places") else ""
    failed = [f"{name} ({code})" for name, code in found.get("commands", {}).items() if code != 0]
    demo = ", the folder of a demo" if "demo start" in found.get("commands", {}) else ""
    return (
        "## Secrets\n\n"
        f"Planted: {', '.join(found['secrets'])}; every access token is known by its form. Runs of `provision` that "
        f"succeed, fail, crash, are interrupted and make a database, on a Prefect server, all loggers at DEBUG: "
        f"{len(found['runs'])}. "
        f"Searched: {found['files']} files (output, Prefect database, home, temporary files with PostgreSQL's data and "
        f"logs, ledger{demo}), the arguments of {found['processes']} processes; but for the token and the keys that "
        "Kubernetes mounts into the pods of a Postgres cluster, each in its own place. **Found: "
        f"{found['found']}**{places}. A leak planted afterwards is "
        f"{'found' if found['finds_a_planted_one'] else 'NOT found'}. Storage keys are never asked for; the planted "
        f"one is in an error text of Azure's. The server's table of logs held {found['log_lines']} lines"
        + ("." if found["log_lines"] else ", so nothing can be said of it.")
        + f" {found['date']}."
        + (f" **Not a whole run, as these commands failed: {', '.join(failed)}.**" if failed else "")
    )


def _mutations(counted: Json | None) -> str:
    if counted is None:
        return "## Guards taken away\n\nNot run yet."
    found: list[Json] = counted["guards"]
    caught = sum(one["verdict"] == "caught" for one in found)
    commits = sorted({one["commit"] for one in found if one.get("commit")})
    tried = (
        f" There are {counted['all']} in the list; those that aren't below weren't tried."
        if counted.get("all")
        else ""
    )
    at = f" Commit {', '.join(commits)}." if commits else ""
    rows = [[one["guard"], f"`{one['test'].split('::')[-1]}`", one["verdict"]] for one in found]
    return (
        f"## Guards taken away\n\nEach by itself, in a copy; the named test passes before and must fail then. "
        f"{caught} of {len(found)} were noticed.{tried}{at} {counted['date']}.\n\n"
        + _table(["guard", "test", "verdict"], rows)
    )


def _flow(one: Json) -> str:
    return str(one["id"]).partition(":")[0]


def _short(text: str) -> str:
    return re.sub(r"/subscriptions/[0-9a-f-]{36}", "", " ".join(text.split()))


def _table(head: list[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
