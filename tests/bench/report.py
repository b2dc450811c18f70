"""docs/benchmark.json holds the figures, docs/benchmark.md says them; the second is written from the first alone."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FIGURES = Path(__file__).parents[2] / "docs" / "benchmark.json"
REPORT = FIGURES.with_suffix(".md")
MODES = ("step_by_step", "single")
# Those that decide how long a run takes.
_DURATIONS = (
    "aks_cluster_create",
    "aks_cluster_update",
    "aks_pool_add",
    "aks_monitoring_pods",
    "aks_spontaneous_operation",
    "grafana_create",
    "log_workspace_create",
    "storage_account_create",
    "monitor_workspace_create",
)
_REAL_TIME_HEADER = (
    "run",
    "wall",
    "limit",
    "wall / limit",
    "as far as the guide",
    "that / guide",
    "wall / guide",
    "requests",
    "client CPU, s",
    "peak memory",
    "when, load average before",
)
_SCALED_HEADER = (
    "run",
    "wall, scaled",
    "Azure's time",
    "the client's",
    "sum",
    "sum / limit",
    "requests",
    "client CPU",
    "sandbox CPU",
    "peak memory",
)
_FLEET_HEADER = (
    "at once",
    "Prefect's database",
    "wall",
    "to one",
    "finished",
    "memory",
    "CPU",
    "each",
    "server CPU",
    "database CPU",
    "sandbox CPU",
    "requests a second",
    "429",
    "when, load average before",
)
_DEPLOYED_HEADER = (
    "at once",
    "workers",
    "wall",
    "to one process",
    "finished",
    "memory",
    "each",
    "CPU of each",
    "server CPU",
    "each",
    "database CPU",
    "requests a second",
    "429",
    "when, load average before",
)
# What is promised on two quiet cores. A fleet's are those of FLEET environments in one process, on PostgreSQL.
BARS = {
    "wall / limit": 1.02,
    "step_by_step / guide": 0.82,
    "single / guide": 0.50,
    "second run, s": 2.5,
    "its writes": 0,
    "plan, s": 2.0,
    "client CPU, s": 4,
    "fleet's wall / one": 1.1,
    "fleet's memory, MiB": 512,
    "fleet's lost": 0,
}
FLEET = 50
_NAMES = {"guide": "the guide, by az", "step_by_step": "ours, step by step", "single": "ours, single"}


def read_figures() -> Json:
    """What was measured until now, by part."""
    found: Json = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return found


def write_figures(part: str, measured: Any, about: Json) -> None:
    """Put a part's figures into docs/benchmark.json, and write the report anew.

    Args:
        part: `scaled`, `real-time` or `fleet`.
        measured: its figures; a fleet replaces only fleets of its size, database and workers.
        about: machine, versions and durations that they were measured with.
    """
    figures = read_figures()
    if part == "real-time":
        measured = {name: run | {"when": _when(about)} for name, run in measured.items()}
        measured = figures.get(part, {}).get("measured", {}) | measured
    if part == "fleet":
        measured = [one | {"when": _when(about)} for one in measured]
        known = {_kind(one): one for one in figures.get(part, {}).get("measured", [])}
        known |= {_kind(one): one for one in measured}
        measured = [known[kind] for kind in sorted(known)]
    figures[part] = about | {"date": _today(), "measured": measured}
    FIGURES.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    REPORT.write_text(report(figures))


def _today() -> str:
    return f"{datetime.now(UTC):%d %B %Y}"


def _when(about: Json) -> str:
    return f"{_today()}, {about['machine']['load']}"


def _kind(fleet: Json) -> tuple[int, bool, int]:
    return fleet.get("workers", 0), fleet["database"] == "SQLite", fleet["count"]


def report(figures: Json) -> str:
    """docs/benchmark.md."""
    parts = [_HEAD, _missed(figures)]
    if set(figures.get("real-time", {}).get("measured", {})) == set(_NAMES):
        parts.append(_real_time(figures["real-time"]))
    for name, write in (("scaled", _scaled), ("fleet", _fleet), ("database", _database)):
        if name in figures:
            parts.append(write(figures[name]))
    return "\n\n".join(parts).rstrip() + "\n"


def _judged(figures: Json) -> Iterator[tuple[str, str, float]]:
    """Each figure that has a bar: what it is, the bar's name, and the figure."""
    found = figures.get("real-time", {}).get("measured", {})
    for mode in MODES if set(found) == set(_NAMES) else ():
        run, name = found[mode], _NAMES[mode]
        yield f"{name}: wall / limit", "wall / limit", run["wall_s"] / run["limit_s"]
        yield f"{name}: wall / guide", f"{mode} / guide", run["wall_s"] / found["guide"]["wall_s"]
        yield f"{name}: client CPU, s", "client CPU, s", run["cpu_s"]
        yield f"{name}: second run, s", "second run, s", run["second"]["wall_s"]
        yield f"{name}: writes of the second run", "its writes", run["second"]["writes"]
        yield f"{name}: plan, s", "plan, s", run["plan"]["wall_s"]
    here = {
        one["count"]: one
        for one in figures.get("fleet", {}).get("measured", [])
        if not one.get("workers") and one["database"] != "SQLite"
    }
    if {1, FLEET} <= set(here):
        one, name = here[FLEET], f"{FLEET} in one process"
        yield f"{name}: wall / one", "fleet's wall / one", one["wall_s"] / here[1]["wall_s"]
        yield f"{name}: memory, MiB", "fleet's memory, MiB", one["peak_mib"]
        yield f"{name}: client CPU of each, s", "client CPU, s", one["cpu_s"] / one["count"]
        yield f"{name}: lost", "fleet's lost", one["count"] - one["states"].get("Completed", 0)


def _missed(figures: Json) -> str:
    """The bars, and which of them the figures miss."""
    rows = [[what, _holds(value, BARS[bar])] for what, bar, value in _judged(figures)]
    missed = [f"{what}: {value:.2f}" for what, bar, value in _judged(figures) if value > BARS[bar]]
    said = (
        f"**{len(missed)} of {len(rows)} bars are missed** by the recorded figures: {'; '.join(missed)}."
        if missed
        else "The recorded figures miss none."
    )
    return "\n\n".join(
        [
            "## What is promised",
            f"On two quiet cores. {said}",
            _table(["what", "measured, and the bar"], rows),
        ]
    )


_HEAD = """\
# How fast it is

Written by `make bench` (scaled runs and fleets) and `make bench-real-time` from what they measured, which is in
[benchmark.json](benchmark.json). All against the sandbox, whose Azure takes as long as the real one did where somebody
published it ([its durations](../packages/azure-sandbox/src/azure_sandbox/data/durations_aks.yaml)); nothing here was
measured on Azure itself.

- **Wall**: from the start of our process to its end, imports included; for the guide, from its first command after
  `az login` to its last, typed without a pause.
- **Limit**: the longest chain of Azure operations that the flow's edges allow, by the sandbox's ledger and clock: each
  write from its arrival to the end of its operation, AKS's own operations where they keep a write out, and the agents
  and the operator until they are ready. No client can be faster with these writes in this order.
- The guide doesn't install the operator and doesn't wait for the agents; ours does both, and verifies. The guide's
  sandbox is a kinder one: no operation of AKS's own gets in az's way (which gives up then), and roles work at once."""


def _database(part: Json) -> str:
    found, machine = part["measured"], part["machine"]
    chain = " + ".join(f"{name} {lasted_s:.1f}" for name, lasted_s in found["chain"])
    ratio = found["wall_s"] / found["limit_s"]
    rows = [
        ["three instances ready after their Cluster is made, s", _holds(found["ready_s"], 8)],
        ["memory of the three, MiB", _holds(found["memory_mib"], 200)],
        ["`deploy_database`, wall / longest chain", _holds(ratio, 1.05)],
        ["the same again, s", _holds(found["second"]["wall_s"], 4)],
        ["its writes", _holds(found["second"]["writes"], 0)],
    ]
    return (
        "## A database on real PostgreSQL\n\n"
        "`python -m tests.bench database`, on a finished environment at Azure's own speed; PostgreSQL's seconds are "
        f"real ones. {part['date']}: {machine['cores']} cores of {machine['processor']}, {machine['memory']}, Python "
        f"{machine['python']}; load average {machine['load']} before.\n\n"
        + _table(["what", "measured"], rows)
        + f"\n\nThe longest chain, in seconds: {chain} = {found['limit_s']:.1f}; the run took {found['wall_s']:.1f}. "
        "The operator and the plugin are the sandbox's stand-ins, so what they take says nothing of the real ones."
    )


def _about(part: Json) -> str:
    machine = part["machine"]
    durations = ", ".join(
        f"{name} {part['durations'][name]:g}" for name in _DURATIONS if name in part["durations"]
    )
    return (
        f"{part['date']}: {machine['cores']} cores of {machine['processor']}, {machine['memory']}, "
        f"{machine['system']}, Python {machine['python']}, Prefect {machine['prefect']}, azure-cli "
        f"{machine['azure-cli']}; load average {machine['load']} before. Azure's durations in seconds, each give or "
        f"take a tenth by the seed: {durations}."
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _s(value: float) -> str:
    return f"{value:.1f} s"


def _holds(value: float, bar: float) -> str:
    return f"{value:.2f} ({'holds' if value <= bar else '**fails**'}: ≤ {bar:g})"


def _real_time(part: Json) -> str:
    found = part["measured"]
    guide_s = found["guide"]["wall_s"]
    rows = []
    for name in _NAMES:
        run, ours = found[name], name in MODES
        rows.append(
            [
                _NAMES[name],
                _s(run["wall_s"]),
                _s(run["limit_s"]) if ours else "",
                _holds(run["wall_s"] / run["limit_s"], BARS["wall / limit"]) if ours else "",
                _s(_as_far_as_the_guide(run)) if ours else _s(guide_s),
                _holds(_as_far_as_the_guide(run) / guide_s, BARS[f"{name} / guide"]) if ours else "1",
                _holds(run["wall_s"] / guide_s, BARS[f"{name} / guide"]) if ours else "1",
                str(run["requests"]),
                _holds(run["cpu_s"], BARS["client CPU, s"]) if ours else f"{run['cpu_s']:.1f}",
                f"{run['peak_mib']:.0f} MiB",
                run["when"],
            ]
        )
    again = [
        [
            _NAMES[name],
            _holds(found[name]["second"]["wall_s"], BARS["second run, s"]),
            str(found[name]["second"]["writes"]),
            _holds(found[name]["plan"]["wall_s"], BARS["plan, s"]),
        ]
        for name in MODES
    ]
    return "\n\n".join(
        [
            "## At Azure's own speed",
            f"One run of each at speed 1, on a sandbox of its own; one that is measured again replaces the earlier. "
            f"{_about(part)}",
            _table(
                _REAL_TIME_HEADER,
                rows,
            ),
            "**As far as the guide**: until the last of the guide's commands has its like; the rest of ours waits "
            "until the agents of the last one are on every node, and verifies. The guide's reader would look for them "
            "in vain at that moment, and again later.",
            "The limit, added up in seconds:",
            "\n".join(_chain(name, found[name]) for name in MODES),
            "A second run, and a plan, of the finished environment, in seconds:",
            _table(["", "second run", "its writes", "plan"], again),
            "Each step of ours, step by step:",
            _steps(found["step_by_step"]),
            "The guide's commands:",
            _table(["command", "took"], [[title, _s(took_s)] for took_s, title in found["guide"]["steps"]]),
        ]
    )


def _as_far_as_the_guide(run: Json) -> float:
    """Seconds of the wall until every command of the guide has its like."""
    ends: dict[str, float] = {step.partition(" ")[0]: at_s for at_s, step, _ in run["steps"]}
    more = ("restart_stuck_agents", "verify_environment", "mark_generation")
    like_s = max(at_s for step, at_s in ends.items() if step not in more)
    return float(run["wall_s"] - (max(ends.values()) - like_s))


def _chain(name: str, run: Json) -> str:
    added = " + ".join(f"{step} {lasted_s:.0f}" for step, lasted_s in run["chain"])
    more_s = run["wall_s"] - run["limit_s"]
    return f"- {_NAMES[name]}: {added} = {run['limit_s']:.0f} s; the run took {more_s:.0f} s more."


def _steps(run: Json) -> str:
    began: dict[str, float] = {}
    rows: list[tuple[float, list[str]]] = []
    for at_s, step, kind in run["steps"]:
        if kind == "started":
            began.setdefault(step, at_s)
        elif step in began:
            row = [step.partition(" ")[0], _s(began[step]), _s(at_s - began[step]), kind]
            rows.append((began[step], row))
    return _table(["step", "began", "took", "ended"], [row for _, row in sorted(rows)])


def _scaled(part: Json) -> str:
    rounds = part["measured"]
    speed = rounds[0]["guide"]["speed"]

    def median(name: str, *path: str) -> float:
        return statistics.median(_at(one[name], *path) for one in rounds)

    rows, raw, second = [], [], []
    for name in _NAMES:
        azure_s, client_s, limit_s = (median(name, what) for what in ("azure_s", "client_s", "limit_s"))
        rows.append(
            [
                _NAMES[name],
                _s(median(name, "wall_s")),
                _s(azure_s),
                _s(client_s),
                _s(azure_s + client_s),
                f"{(azure_s + client_s) / limit_s:.2f}" if name in MODES else "",
                str(round(median(name, "requests"))),
                _s(median(name, "cpu_s")),
                _s(median(name, "sandbox_cpu_s")),
                f"{median(name, 'peak_mib'):.0f} MiB",
            ]
        )
        raw.append(
            [_NAMES[name], *(f"{one[name]['wall_s']:.1f} ({one[name]['client_s']:.1f})" for one in rounds)]
        )
        if name in MODES:
            second.append(
                [
                    _NAMES[name],
                    _s(median(name, "second", "wall_s")),
                    _s(median(name, "second", "cpu_s")),
                    str(max(one[name]["second"]["writes"] for one in rounds)),
                    _s(median(name, "plan", "wall_s")),
                ]
            )
    overhead = ", ".join(
        f"{_NAMES[name]} {1000 * median(name, 'client_s') / len(_step_names(rounds[0][name])):.0f} ms"
        for name in MODES
    )
    return "\n\n".join(
        [
            "## Scaled",
            f"{len(rounds)} rounds of each in turn, on a sandbox {speed:g} times as fast as Azure; medians. "
            f"{_about(part)}",
            "**Azure's time** is the sandbox's: for how long it was at work on something, on its clock. **The "
            "client's** is the rest of the wall, which no speed shrinks (Azure's time divided by the speed is taken "
            "off). Their sum is about what the run would take at speed 1; pauses between two looks are scaled along, "
            "so the runs at Azure's own speed are the proof, and these the support.",
            _table(
                _SCALED_HEADER,
                rows,
            ),
            f"The client's time, shared among its steps: {overhead} each, process start included.",
            "Wall of each round in seconds, the client's part in brackets:",
            _table(["", *(str(number + 1) for number in range(len(rounds)))], raw),
            "A second run, and a plan, of the finished environment:",
            _table(["", "second run", "its CPU", "its writes at most", "plan"], second),
        ]
    )


def _at(run: Json, *path: str) -> float:
    found: Any = run
    for key in path:
        found = found[key]
    return float(found)


def _step_names(run: Json) -> set[str]:
    return {step for _, step, _ in run["steps"]}


def _fleet(part: Json) -> str:
    fleets = [one for one in part["measured"] if not one.get("workers")]
    deployed = [one for one in part["measured"] if one.get("workers")]
    alone_s = next(
        (one["wall_s"] for one in fleets if one["count"] == 1 and one["database"] != "SQLite"), None
    )
    rows = [
        [
            f"{one['count']}",
            one["database"],
            _s(one["wall_s"]),
            f"{one['wall_s'] / alone_s:.2f}" if alone_s else "",
            f"{one['states'].get('Completed', 0)} of {one['count']}",
            f"{one['peak_mib']:.0f} MiB",
            f"{one['cpu_s']:.0f} s",
            f"{one['cpu_s'] / one['count']:.1f} s",
            f"{one['server_cpu_s']:.0f} s",
            "in the server" if one["database_cpu_s"] is None else f"{one['database_cpu_s']:.0f} s",
            f"{one['sandbox_cpu_s']:.0f} s",
            f"{one['requests_a_s']:.0f}",
            str(sum(one["throttled"].values())),
            one["when"],
        ]
        for one in fleets
    ]
    failures = [
        f"- {one['count']} on {one['database']}: {'; '.join(one['failures'])}"
        for one in part["measured"]
        if one["failures"]
    ]
    return "\n\n".join(
        [
            "## Fleets",
            f"So many environments at once in one process (`provision_fleet`, step by step), the sandbox at "
            f"{fleets[0]['speed']:g} times Azure's speed; process, server, database and sandbox on the same cores. "
            f"{_about(part)}",
            _table(
                _FLEET_HEADER,
                rows,
            ),
            "Finished is what the fleets' own results say; one that its server failed has none, whatever became of its "
            "environments. Memory, CPU and CPU for each environment are the process's. The bars of "
            f"{FLEET} are above.",
            *(["What failed:", "\n".join(failures)] if failures else []),
            "Peak memory of the others, where pages that PostgreSQL's processes share count for each of them; and how "
            "the server says that its flow runs, the fleets' own included, ended:",
            "\n".join(map(_others, fleets)),
            *(_deployed(deployed, fleets) if deployed else []),
            "### What would be next to run out",
            _next(max(fleets, key=lambda one: (one["database"] != "SQLite", one["count"])), deployed),
            _ADVICE,
        ]
    )


def _deployed(deployed: list[Json], fleets: list[Json]) -> list[str]:
    """Fleets through deployments, beside those of their size in one process."""
    here = {one["count"]: one for one in fleets if one["database"] != "SQLite"}
    rows = []
    for one in deployed:
        beside = here.get(one["count"])
        rows.append(
            [
                f"{one['count']}",
                f"{one['workers']}",
                _s(one["wall_s"]),
                f"{one['wall_s'] / beside['wall_s']:.2f}" if beside else "",
                f"{one['states'].get('Completed', 0)} of {one['count']}",
                f"{one['peaks_mib']['workers']:.0f} MiB",
                f"{one['peaks_mib']['workers'] / one['count']:.0f} MiB",
                f"{one['workers_cpu_s'] / one['count']:.1f} s",
                f"{one['server_cpu_s']:.0f} s",
                f"{one['server_cpu_s'] / one['count']:.1f} s",
                f"{one['database_cpu_s']:.0f} s",
                f"{one['requests_a_s']:.0f}",
                str(sum(one["throttled"].values())),
                one["when"],
            ]
        )
    return [
        "### Through deployments",
        "The same with `runs: deployments`: process workers carry out each environment as a run and a process of its "
        "own, all on this machine. Memory and CPU are those of the workers and of all their runs.",
        _table(_DEPLOYED_HEADER, rows),
        "\n".join(map(_others, deployed)),
    ]


def _others(fleet: Json) -> str:
    memory = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in sorted(fleet["peaks_mib"].items()))
    states = ", ".join(f"{count} {state}" for state, count in sorted(fleet["flow_runs"].items()))
    how = f", by {fleet['workers']} workers" if fleet.get("workers") else ""
    return f"- {fleet['count']} on {fleet['database']}{how}: {memory}; {states}"


def _next(fleet: Json, deployed: list[Json]) -> str:
    cores = {
        "our process": fleet["cpu_s"] / fleet["wall_s"],
        "the Prefect server": fleet["server_cpu_s"] / fleet["wall_s"],
        "the database": (fleet["database_cpu_s"] or 0) / fleet["wall_s"],
    }
    shares = ", ".join(
        f"{name} {share:.2f}" for name, share in sorted(cores.items(), key=lambda one: -one[1])
    )
    asked = fleet["requests_a_s"] / fleet["speed"]
    return (
        f"With {fleet['count']} at once, cores kept busy on average: {shares}. Process and server are one Python "
        f"process each, and can't use more than one core. By Azure's clock it was {asked:.0f} requests a second, "
        "Kubernetes' included; ARM takes 25 reads of a caller and subscription. All runs of a process share these "
        "(`src/aks_postgres/arm/rate_limit.py`): "
        "their looks get rarer before anything is refused.\n\n"
        f"- The process is full: at these figures with about {_full(fleet, 'cpu_s')} at once. Then `runs: deployments` "
        "and several process workers, on several machines: a process each costs more memory and CPU (above), and is "
        "bound by no core of another's. They don't know of each other's requests, but each believes what ARM says that "
        "it has left.\n"
        f"- The server is full: with about {_full(fleet, 'server_cpu_s')} at once from one process"
        + (
            f", and {_full(max(deployed, key=lambda one: int(one['count'])), 'server_cpu_s')} through deployments"
            if deployed
            else ""
        )
        + ". Then several of `prefect server start --no-services` beside one `prefect server services start`, with "
        "Redis between them; how that scales wasn't measured, as it takes more than two cores.\n"
        "- ARM's reads are full: a caller of its own, or a subscription, for each part of the fleet."
    )


def _full(fleet: Json, cpu: str) -> str:
    """How many environments keep a core busy, of a fleet that had them work at the sandbox's speed; at Azure's own."""
    per_s = fleet[cpu] / fleet["count"] / fleet["wall_s"] / fleet["speed"]
    return f"{1 / per_s:.0f}"


_ADVICE = """\
### PostgreSQL for a fleet

`provision_fleet` refuses more than ten environments at once on a server that is known to be on SQLite (the temporary
one of a terminal, or one whose driver is set), and warns where the server doesn't say.
A server on PostgreSQL, on one machine (deployments/compose.yaml has one in containers):

```sh
apt-get install postgresql
sudo -u postgres createuser prefect --pwprompt && sudo -u postgres createdb prefect --owner prefect
export PREFECT_SERVER_DATABASE_DRIVER=postgresql+asyncpg
export PREFECT_SERVER_DATABASE_CONNECTION_URL=postgresql+asyncpg://prefect:PASSWORD@127.0.0.1/prefect
export PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE=20 PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW=60
export PREFECT_SERVER_API_HOST=127.0.0.1 PREFECT_SERVER_API_PORT=4200
export PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem
prefect server start
```

The benchmark starts one for itself in a temporary folder (`initdb`, `postgres`, `createdb`, as the user `postgres`
where it runs as root), with PostgreSQL's own defaults but for 200 connections."""
