"""The commands that say what is there: every environment, one of them, and a fleet of regions made at once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aks_postgres.cli.columns import table, without_blanks
from aks_postgres.cli.environment import IfAnotherRun, Json, Shows, Yes, as_a_run, prefect_found
from aks_postgres.cli.spec_options import (
    Name,
    Settings,
    SpecFile,
    State,
    SubscriptionId,
    UseSandbox,
    given_spec,
)
from aks_postgres.commands import pasted
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.foreign_text import in_line

if TYPE_CHECKING:
    from aks_postgres.flows._listing import Status
    from aks_postgres.reports.database_status import FoundDatabase
    from aks_postgres.reports.fleet import Fleet
    from aks_postgres.reports.listing import FoundEnvironment, LastRun
    from aks_postgres.spec.environment import EnvironmentSpec

app = typer.Typer()
Watch = Annotated[
    int | None,
    typer.Option(
        min=2,
        max=3600,
        metavar="SECONDS",
        help="Look again every so many seconds, until Ctrl-C.",
        show_default=False,
    ),
]
_WIDE = 22
_LEAST = ("CREATED", "ENDS", "CLUSTER", "USD A DAY", "GEN", "LAST RUN")
_COLUMNS = (
    "NAME",
    "REGION",
    "GEN",
    "STATE",
    "KUBERNETES",
    "ENDS",
    "CLUSTER",
    "NODES",
    "CREATED",
    "USD A DAY",
    "WRITING",
    "LAST RUN",
)


@app.command("list")
def list_command(
    subscription_id: SubscriptionId = None,
    sandbox: UseSandbox = False,
    state: State = None,
    as_json: Json = False,
    watch: Watch = None,
) -> None:
    """List every environment that the credential sees in the subscription; only reads.

    Example: aks-postgres list --json
    """
    spec = given_spec(subscription_id=subscription_id, sandbox=sandbox, state=state)
    # Without the flows, and so without Prefect, whose import takes longer than both of Azure's lists.
    from aks_postgres.runs.last_runs import with_last_runs
    from aks_postgres.tasks.environments import find_environments

    def show() -> None:
        found = with_last_runs(asyncio.run(find_environments(spec)))
        if as_json:
            print(
                json.dumps(
                    [environment.model_dump(mode="json") for environment in found],
                    indent=None if watch else 2,
                ),
                flush=True,
            )
        elif found:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            print("\n".join(environments_table(found, width)), flush=True)
        else:
            print("There is no environment in this subscription.", file=sys.stderr)

    watched(show, watch)


def watched(show: Callable[[], None], every_s: int | None) -> None:
    """Show once, or again and again; on a terminal in the same place, in a pipe one after the other."""
    if every_s is None:
        show()
        return
    with suppress(KeyboardInterrupt):  # which is how a person ends it
        while True:
            if sys.stdout.isatty():
                print("\033[H\033[2J", end="")
            show()
            time.sleep(every_s)


def environments_table(found: Iterable[FoundEnvironment], width: int | None) -> list[str]:
    """The environments, a line each, as wide as a terminal; in a pipe as wide as they are."""
    return table(*fitting(*without_blanks(_COLUMNS, list(map(_row, found))), width))


def _row(one: FoundEnvironment) -> tuple[str, ...]:
    nodes = "+".join("?" if pool.nodes is None else str(pool.nodes) for pool in one.pools)
    cost = "" if one.cost_low_usd is None else f"{one.cost_low_usd:.0f} to {one.cost_high_usd:.0f}"
    return (
        one.name,
        one.region,
        str(one.generation),
        one.state,
        one.kubernetes_version or "",
        f"{one.support_ends:%Y-%m}" if one.support_ends else "",
        one.power if one.power not in (None, "Running") else one.cluster_state or "none",
        nodes,
        f"{one.created:%Y-%m-%d}" if one.created else "",
        cost,
        one.writer or "",
        _run_words(one.last_run),
    )


def _run_words(run: LastRun | None) -> str:
    if run is None:
        return ""
    began = f", {run.started:%Y-%m-%d %H:%M}" if run.started else ""
    return f"{run.name.partition(' ')[0]} {run.state}{began}"


def fitting(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """The table without the columns that are missed least, as many as a terminal has no room for; in a pipe all."""
    for leave_out in _LEAST:
        if width is None or max(map(len, table(header, rows))) <= width:
            break
        kept = [index for index, name in enumerate(header) if name != leave_out]
        header, rows = [header[index] for index in kept], [[row[index] for index in kept] for row in rows]
    too_wide = max(map(len, table(header, rows))) - width if width is not None else 0
    if too_wide > 0:  # the last column alone has sentences, such as who writes
        room = max(len(header[-1]), max(len(row[-1]) for row in rows) - too_wide)
        rows = [[*row[:-1], textwrap.shorten(row[-1], room, placeholder=" ...")] for row in rows]
    return header, rows


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="The environment's name.", show_default=False)] = None,
    region: Annotated[str | None, typer.Argument(help="Its region.", show_default=False)] = None,
    named: Annotated[
        str | None, typer.Option("--name", help="The name, as other commands take it.", show_default=False)
    ] = None,
    placed: Annotated[
        str | None,
        typer.Option("--region", help="The region, as other commands take it.", show_default=False),
    ] = None,
    subscription_id: SubscriptionId = None,
    sandbox: UseSandbox = False,
    state: State = None,
    as_json: Json = False,
    watch: Watch = None,
) -> None:
    """Say how one environment is: its cluster and pools, who writes to it, its addresses; only reads.

    Exit code 1 says that something isn't as it should be. Example: aks-postgres status cnpg canadacentral
    """
    name, region = _said("name", name, named), _said("region", region, placed)
    spec = given_spec(name=name, region=region, subscription_id=subscription_id, sandbox=sandbox, state=state)
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.flows._listing import status_of
    from aks_postgres.runs.last_runs import with_last_runs

    ill = False

    def show() -> None:
        nonlocal ill
        found = asyncio.run(status_of(spec))
        generations = with_last_runs(found.generations)
        problems = found.problems
        ill = bool(problems)
        if as_json:
            whole = {
                "healthy": not problems,
                "problems": problems,
                "generations": [environment.model_dump(mode="json") for environment in generations],
                "addresses": found.addresses.model_dump(mode="json"),
                "databases": None
                if found.databases is None
                else [environment.model_dump(mode="json") for environment in found.databases],
                "databases_unknown": found.unknown,
            }
            print(json.dumps(whole, indent=None if watch else 2), flush=True)
            return
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(status_lines(spec, found, generations, width)), flush=True)

    watched(show, watch)
    if ill:
        raise typer.Exit(ExitCode.FAILED)


def status_lines(
    spec: EnvironmentSpec, found: Status, generations: Iterable[FoundEnvironment], width: int | None
) -> list[str]:
    """How an environment is, line by line.

    Args:
        spec: the environment.
        found: what was looked at.
        generations: its generations, with what the Prefect server says of them.
        width: of the terminal; None in a pipe.
    """
    rows = [row for environment in generations for row in _lines(environment)]
    rows += [
        (field.replace("_", " "), str(value))
        for field, value in found.addresses
        if value and field not in ("generation", "cluster")
    ]
    rows += [row for database in found.databases or () for row in _database_lines(spec, database)]
    if found.unknown:
        rows.append(("database", f"not known: {found.unknown}"))
    rows.append(("health", "; ".join(found.problems) or "as it should be"))
    return [line for row in rows for line in row_lines(*row, width)]


def _said(what: str, argument: str | None, option: str | None) -> str:
    """What was given as an argument or as an option.

    Raises:
        CommandFailed: neither was, or both and they differ.
    """
    if argument and option and argument != option:
        raise CommandFailed(
            f"{what}: {argument} and {option} were given; give one of them", ExitCode.BAD_INPUT
        )
    found = argument or option
    if not found:
        raise CommandFailed(
            f"{what}: nothing was given; say which environment it is, such as `aks-postgres status cnpg "
            "canadacentral`. `aks-postgres list` names them.",
            ExitCode.BAD_INPUT,
        )
    return found


@app.command(
    "psql",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": ["--help"],
    },
)
def psql_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The environment's name.")],
    region: Annotated[str, typer.Argument(help="Its region.")],
    database: Annotated[
        str | None, typer.Option(help="The database; by default the first of the spec.")
    ] = None,
    replica: Annotated[bool, typer.Option("--replica", help="Ask a replica, which only reads.")] = False,
    subscription_id: SubscriptionId = None,
    sandbox: UseSandbox = False,
    state: State = None,
) -> None:
    """Open psql on an environment's database, through the cluster's API server; no password is shown.

    What follows is psql's. Example: aks-postgres psql cnpg canadacentral -c 'select version()'
    """
    spec = given_spec(name=name, region=region, subscription_id=subscription_id, sandbox=sandbox, state=state)
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.cli.psql import psql, psql_program

    psql_program()
    from aks_postgres.flows._listing import require_there

    asyncio.run(require_there(spec))
    code = asyncio.run(psql(spec, database=database, replica=replica, arguments=context.args))
    if code:
        raise typer.Exit(ExitCode.FAILED)


def row_lines(what: str, shown: str, width: int | None) -> list[str]:
    """A row of a status, broken between words on a terminal; what is to be copied stays in one piece."""
    shown = in_line(shown)
    first = f"{in_line(what):{_WIDE}} "
    if width is None or what == "psql":
        return [f"{first}{shown}"]
    return textwrap.wrap(
        shown,
        width,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _lines(one: FoundEnvironment) -> Iterable[tuple[str, str]]:
    yield "environment", f"{one.name} in {one.region}, generation {one.generation}, {one.state}"
    yield "resource group", one.resource_group
    if one.cluster:
        power = f", {one.power}" if one.power else ""
        yield "cluster", f"{one.cluster}, {one.cluster_state}{power}"
        ends = f", support ends {one.support_ends:%Y-%m-%d}" if one.support_ends else ""
        yield "Kubernetes", f"{one.kubernetes_version}, tier {one.tier}{ends}"
    for pool in one.pools:
        yield f"pool {pool.name}", f"{pool.nodes} nodes {pool.vm_size}, {pool.state}"
    yield "writing now", one.writer or "nobody"
    if one.last_run:
        yield "last run", f"{_run_words(one.last_run)}: {one.last_run.name}"
        ui = os.environ.get("PREFECT_API_URL", "").rstrip("/").removesuffix("/api")
        yield "its page", f"{ui}/runs/flow-run/{one.last_run.id}"
    if one.cost_low_usd is not None:
        yield "USD a day", f"at least {one.cost_low_usd:.2f} to {one.cost_high_usd:.2f}"


def _database_lines(spec: EnvironmentSpec, one: FoundDatabase) -> Iterable[tuple[str, str]]:
    yield "database", f"{one.namespace}/{one.cluster}, {one.phase or 'no phase yet'}"
    if one.held:
        yield "held", f"it {one.held}"
    yield "instances", f"{one.ready} of {one.instances} ready, primary {one.primary or 'none'}, {one.image}"
    yield "in the cluster", f"{one.host}:5432; read-only: {one.read_only_host}:5432"
    if one.pooler_hosts:
        yield "through PgBouncer", ", ".join(f"{host}:5432" for host in one.pooler_hosts)
    if one.public_host:
        yield "from outside", f"{one.public_host}, port 5432; read-only: port 5433"
    yield "databases", f"{', '.join(one.databases)}, role {one.owner}"
    yield "password", f"Secret {one.namespace}/{one.password_secret}"
    ends = f"{one.certificate_ends:%Y-%m-%d}" if one.certificate_ends else "at a time that isn't known"
    yield (
        "TLS",
        f"sslmode=verify-full, sslrootcert: ca.crt of Secret {one.ca_secret}; a certificate ends {ends}",
    )
    yield "psql", pasted("psql", spec.name, spec.region)
    if one.backups is None:
        yield "backups", "none"
    else:
        yield "backups", one.backups or "nowhere that is known"
        yield "last backup", one.last_backup or "none that is known"
        yield "restorable since", one.recoverable_since or "nothing that is known"
        said = {"True": "works", "False": f"fails ({one.archiving_problem})"}
        yield "WAL archive", said.get(one.archiving, "not known")
    for fact in one.not_proven:
        yield "not proven", fact


@app.command()
def fleet(
    regions: Annotated[
        list[str] | None, typer.Option("--region", help="A region; repeat it for more.", show_default=False)
    ] = None,
    regions_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A regions file, such as deployments/regions.yaml; its regions are taken."
        ),
    ] = None,
    name: Name = None,
    spec_file: SpecFile = None,
    settings: Settings = None,
    subscription_id: SubscriptionId = None,
    at_once: Annotated[int, typer.Option(min=1, max=100, help="How many regions at the same time.")] = 10,
    yes: Yes = False,
    if_another_run: IfAnotherRun = "wait",
    sandbox: UseSandbox = False,
    state: State = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Provision the same environment in many regions at once; one that fails doesn't stop the others.

    Example: aks-postgres fleet --name cnpg --region canadacentral --region westus3
    """
    wanted = [*(regions or []), *(_regions_of(regions_file) if regions_file else [])]
    if not wanted:
        raise CommandFailed("regions: nothing was given; say --region or --regions-file", ExitCode.BAD_INPUT)
    spec = given_spec(
        spec_file=spec_file,
        name=name,
        region=wanted[0],
        subscription_id=subscription_id,
        settings=settings,
        sandbox=sandbox,
        state=state,
        is_named=True,
    )
    from aks_postgres.spec.problems import refuse_twice

    refuse_twice(wanted)
    if not yes:
        from aks_postgres.cli.approval import ask, require_person

        require_person("fleet")
        _show_cost(spec, wanted)
        ask(f"Provision {spec.name} in {len(wanted)} regions?")
    with prefect_found(quiet):
        found = asyncio.run(_run_fleet(spec, wanted, at_once, if_another_run, quiet=quiet))
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        rows = [(run.region, run.state, f"{run.minutes:.1f}", run.failure) for run in found.regions]
        print("\n".join(table(("REGION", "STATE", "MINUTES", "WHAT FAILED"), rows)))
        print(found.headline, file=sys.stderr)
    if found.failed:
        raise typer.Exit(ExitCode.FAILED)


def _show_cost(spec: EnvironmentSpec, regions: Sequence[str]) -> None:
    from aks_postgres.reports.cost import cost_of, cost_text

    for region in regions:
        print(f"{region}: {cost_text(cost_of(spec.model_copy(update={'region': region})))}", file=sys.stderr)


def _regions_of(file: Path) -> list[str]:
    """The regions that a regions file names."""
    from aks_postgres.yaml_files import read_yaml

    entries = read_yaml(file)
    try:
        return [str(entry["spec"]["region"]) for entry in entries]
    except (TypeError, KeyError):
        raise CommandFailed(
            f"{file}: a list is expected whose entries have spec.region, as in deployments/regions.yaml",
            ExitCode.BAD_INPUT,
        ) from None


async def _run_fleet(
    spec: EnvironmentSpec, regions: list[str], at_once: int, if_another_run: Any, *, quiet: bool
) -> Fleet:
    from aks_postgres.flows.provision_fleet import provision_fleet

    with as_a_run(spec, Shows(quiet)):
        run: Any = await provision_fleet(spec, regions, at_once, "here", if_another_run, return_state=True)
    found: Fleet = await run.aresult(raise_on_failure=False)
    if isinstance(found, BaseException):
        raise found
    return found
