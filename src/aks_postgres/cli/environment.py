"""The commands about one environment: provision it, and look at what is there."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from aks_postgres.cli.hints import pasted_here, with_commands
from aks_postgres.cli.spec_options import environment_command
from aks_postgres.commands import pasted

if TYPE_CHECKING:
    from uuid import UUID

    from aks_postgres.reports.journal import Journal
    from aks_postgres.reports.outputs import DatabaseOutputs, EnvironmentOutputs
    from aks_postgres.spec.environment import EnvironmentSpec

app = typer.Typer()
INTERRUPTED = "interrupted. What Azure has begun goes on; run again to go on from there."
How = Annotated[
    Literal["auto", "plain", "json"],
    typer.Option("--progress", help="Progress on standard error: plain lines, or a JSON object a line."),
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Say every field that changed, every wait, and what took how long."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
ArmPaths = Annotated[bool, typer.Option("--arm-paths", help="Say ARM's path of each setting, too.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go on without showing the plan and asking.")]
ShowAll = Annotated[
    bool, typer.Option("--all", help="Show what stays as it is, too; --json=all is --json --all.")
]
IfAnotherRun = Annotated[
    Literal["wait", "refuse"],
    typer.Option(help="While another run is writing to this environment: wait for it, or refuse, naming it."),
]


@contextmanager
def prefect_found(quiet: bool) -> Iterator[None]:
    """Have a Prefect server for a run: the configured one, or a temporary one, which is said.

    Raises:
        CommandFailed: the run was interrupted; Typer would end the command without a word.
    """
    from aks_postgres.exit_codes import CommandFailed, ExitCode
    from aks_postgres.runs.prefect_server import prepare_prefect, require_prefect_server

    prepare_prefect()
    settings: dict[Any, Any] = {}
    if require_prefect_server() is None:
        if not quiet:
            print("No Prefect server is set (PREFECT_API_URL): using a temporary one.", file=sys.stderr)
        from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

        from aks_postgres.cli.temporary_server import start_temporary_server

        settings = {PREFECT_API_URL: start_temporary_server(), PREFECT_UI_URL: ""}
    from prefect.settings import temporary_settings

    try:
        with temporary_settings(settings):
            yield
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise CommandFailed(INTERRUPTED, ExitCode.INTERRUPTED) from None


@environment_command(app)
def provision(
    spec: EnvironmentSpec,
    yes: Yes = False,
    plan_file: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="Carry out the plan in this file (plan --out), spec included, and nothing else.",
        ),
    ] = None,
    if_another_run: IfAnotherRun = "wait",
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    verbose: Verbose = False,
    progress: How = "auto",
) -> None:
    """Create the environment, or bring it to its spec; a finished one is left as it is.

    On a terminal it shows the plan and asks; what is done then is that plan or nothing. Progress goes to standard
    error. Interrupted or failed, run it again: it goes on where it stopped.

    Example: aks-postgres provision --spec environment.yaml --set postgres_pool.max_count=9
    """
    approved = _approved(spec, yes=yes, plan_file=plan_file)
    shows = Shows(quiet, verbose, progress)
    with prefect_found(quiet):
        outputs, summary, pages = asyncio.run(_run_provision(spec, if_another_run, approved, shows))
    if as_json:
        print(outputs.model_dump_json(indent=2))
    if quiet:
        return
    from aks_postgres.cli.last_screen import last_screen

    if verbose and summary and not as_json:
        print_markdown(summary)
    print(last_screen(spec, outputs, pages), file=sys.stderr if as_json else sys.stdout)


def print_markdown(text: str, *, to_error: bool = False) -> None:
    """Print Markdown as a terminal shows it; in a pipe as plain text, whole and without trailing blanks."""
    from rich.console import Console
    from rich.markdown import Markdown

    from aks_postgres.cli.plain_text import plain_text

    text = with_commands(text)
    console = Console(stderr=to_error)
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        print(plain_text(text), file=sys.stderr if to_error else sys.stdout)


def _approved(spec: EnvironmentSpec, *, yes: bool, plan_file: Path | None) -> str | None:
    """The digest of the plan that may be carried out; None if whatever has to be done may be.

    Raises:
        CommandFailed: nobody approved it, or it can't be carried out.
        PlanMoved: the plan in the file isn't what would be done any more.
    """
    from aks_postgres.cli.approval import ask, require_person

    if yes and plan_file is None:
        return None
    if plan_file is None:
        require_person("provision")
    from aks_postgres.exit_codes import CommandFailed
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.cli.plan_file import read_plan
    from aks_postgres.cli.plan_text import print_plan
    from aks_postgres.flows.plan import make_view
    from aks_postgres.runs.plan_moves import refuse_moved

    kept = read_plan(plan_file).view if plan_file else None
    view = asyncio.run(make_view(spec))
    if kept:
        refuse_moved(view, kept)
        return view.digest
    print_plan(view, to_error=True)
    if view.can_t:
        raise CommandFailed("this plan can't be carried out; nothing was written.")
    if not view.is_empty:
        ask("Do this?")
    return view.digest


async def _run_provision(
    spec: EnvironmentSpec,
    if_another_run: Literal["wait", "refuse"],
    approved_plan: str | None,
    shows: Shows,
) -> tuple[EnvironmentOutputs, str | None, dict[str, str]]:
    from aks_postgres.flows.provision import provision as provision_flow
    from aks_postgres.runs.prefect_server import pages_of, summary_of

    with as_a_run(spec, shows):
        run: Any = await provision_flow(spec, if_another_run, approved_plan, return_state=True)
        run_id: UUID = run.state_details.flow_run_id
        outputs: EnvironmentOutputs = await run.result()
    return outputs, await summary_of(run_id), pages_of(run_id)


class Shows(NamedTuple):
    """How a run is shown."""

    quiet: bool = False
    verbose: bool = False
    progress: Literal["auto", "plain", "json"] = "auto"


@contextmanager
def as_a_run(spec: EnvironmentSpec, shows: Shows) -> Iterator[None]:
    """Runs inside carry the tags of a deployment's, for the automations, and show their progress on standard error.

    Raises:
        CommandFailed: the run was interrupted; says what Azure goes on with, and how to go on.
    """
    from prefect import tags

    from aks_postgres.exit_codes import CommandFailed, ExitCode
    from aks_postgres.reports.journal import Journal, use_journal

    with tags("aks-postgres", spec.name, spec.region), use_journal(Journal()) as journal:
        try:
            if shows.quiet:
                yield
                return
            from rich.console import Console

            from aks_postgres.cli.progress import progress

            with progress(Console(stderr=True), journal, shows.progress, verbose=shows.verbose) as show:
                journal.subscribe(show)
                yield
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise CommandFailed(interrupted(journal), ExitCode.INTERRUPTED) from None


def interrupted(journal: Journal) -> str:
    """Return what an interrupted run says: what Azure goes on with, and how to go on."""
    going_on = dict.fromkeys(operation.label for operation in journal.operations if operation.ended_s is None)
    what = f" ({', '.join(going_on)})" if going_on else ""
    return f"interrupted. What Azure has begun goes on{what}; run again to go on from there."


@environment_command(app)
def plan(
    spec: EnvironmentSpec,
    as_json: Json = False,
    arm_paths: ArmPaths = False,
    show_all: ShowAll = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the plan in a file, for provision --plan FILE."),
    ] = None,
) -> None:
    """Print what `provision` would create and change, in the spec's words, and what a day costs; only reads.

    Reader rights are enough, but for what is in the cluster (Azure Kubernetes Service Cluster User Role). Exit code 0
    says that there is nothing to do, 5 that there is something, 1 that something can't be done, or that Azure couldn't
    be asked.

    Example: aks-postgres plan --name cnpg --region canadacentral --out plan.json
    """
    from aks_postgres.cli.plan_file import write_plan
    from aks_postgres.cli.plan_text import print_plan
    from aks_postgres.exit_codes import ExitCode
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.flows.plan import make_view

    view = asyncio.run(make_view(spec))
    if out and not view.can_t:
        write_plan(out, spec, view)
        print(f"The plan is in {out}: {pasted('provision', '--plan', str(out))}", file=sys.stderr)
    if as_json:
        print(view.as_json(everything=show_all))
    else:
        print_plan(view, arm_paths=arm_paths, everything=show_all)
    if view.is_empty:
        return
    if sys.stdout.isatty() and not (as_json or out or view.can_t):
        print(f"To do this: {pasted_here('provision')}", file=sys.stderr)
    raise typer.Exit(ExitCode.FAILED if view.can_t else ExitCode.CHANGES)


@environment_command(app)
def outputs(
    spec: EnvironmentSpec,
    output_format: Annotated[
        Literal["table", "json", "env"],
        typer.Option("--format", help="env prints the guide's own variables for a shell."),
    ] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Print the names, IDs and endpoints of a finished environment; only reads.

    Example: aks-postgres outputs --name cnpg --region canadacentral --format env
    """
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.flows._listing import require_there
    from aks_postgres.flows.provision import read_outputs

    asyncio.run(require_there(spec))
    found = asyncio.run(read_outputs(spec))
    if as_json or output_format == "json":
        print(found.model_dump_json(indent=2))
        return
    from aks_postgres.cli.guide_variables import guide_variables

    if output_format == "env":
        for variable, value in guide_variables(spec, found).items():
            print(f"export {variable}={shlex.quote(value)}")
        return
    for what, shown in _table_of(spec, found).items():
        print(f"{what:24} {shown}")


def _table_of(spec: EnvironmentSpec, found: EnvironmentOutputs) -> dict[str, object]:
    return {
        "Environment": f"{spec.name} in {spec.region}, generation {found.place.generation}",
        "Subscription": f"{found.place.subscription_name} ({found.place.subscription_id})",
        "Resource group": found.resource_group.name,
        "Backup resource group": found.backup_group.name,
        "AKS cluster": found.cluster.name,
        "Kubernetes": found.cluster.kubernetes_version,
        "API server": found.cluster.fqdn,
        "OIDC issuer": found.cluster.oidc_issuer_url,
        "Node resource group": found.cluster.node_resource_group,
        "Node pool": f"{found.postgres_pool.name}, {found.postgres_pool.count} nodes",
        "Managed identity": f"{found.identity.name}, client ID {found.identity.client_id}",
        "Backups": f"{found.storage_account.blob_endpoint}{found.container.name}",
        "Public IP": found.public_ip.ip_address,
        "Grafana": found.grafana.endpoint,
        "Azure Monitor workspace": found.monitor_workspace.name,
        "Log Analytics workspace": found.log_workspace.name,
        "CloudNativePG operator": f"{found.operator.version} in {found.operator.namespace}",
        **(_database_rows(found.database) if found.database else {}),
    }


def _database_rows(database: DatabaseOutputs) -> dict[str, object]:
    rows: dict[str, object] = {
        "Postgres cluster": f"{database.namespace}/{database.cluster}, {database.instances} instances, primary "
        f"{database.primary}",
        "Database address": f"{database.host}:5432 in the cluster",
        "Databases": f"{', '.join(database.databases)}, of role {database.owner}",
        "Password": f"in Secret {database.namespace}/{database.password_secret}",
        "Certificate authority": f"in Secret {database.namespace}/{database.ca_secret}, ca.crt (verify-full)",
        "Database backups": database.backups or "none",
    }
    if database.public_host:
        rows["Public database address"] = f"{database.public_host}, port 5432; read-only: port 5433"
    if database.pooler_host:
        rows["Through PgBouncer"] = f"{database.pooler_host}:5432 in the cluster"
    if database.dashboard:
        rows["Database dashboard"] = database.dashboard
    if database.recoverable_since:
        rows["Restorable"] = f"to any moment since {database.recoverable_since}"
    if database.not_proven:
        rows["Not proven"] = "; ".join(database.not_proven)
    return rows


@environment_command(app)
def kubeconfig(
    spec: EnvironmentSpec,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write it; by default a file of the environment's own."),
    ] = None,
) -> None:
    """Write the cluster's credentials to a file of their own, mode 0600; never to ~/.kube/config.

    Example: aks-postgres kubeconfig --name cnpg --region canadacentral --file cluster.kubeconfig
    """
    from aks_postgres.cli.kubeconfig_file import default_file, refuse_shared_file, write_kubeconfig

    if file is not None:
        refuse_shared_file(file)
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.cli.kubeconfig import kubeconfig as read_kubeconfig
    from aks_postgres.flows._listing import require_there

    asyncio.run(require_there(spec))
    target = file or default_file(spec)
    write_kubeconfig(target, asyncio.run(read_kubeconfig(spec)))
    print(f"export KUBECONFIG={shlex.quote(str(target.absolute()))}")
