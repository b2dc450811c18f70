"""The commands about one environment: provision it, and look at what is there."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aks_postgres.cli.spec_options import environment_command, spec_fields

if TYPE_CHECKING:
    from uuid import UUID

    from aks_postgres.reports.outputs import EnvironmentOutputs
    from aks_postgres.spec.environment import EnvironmentSpec

app = typer.Typer()
INTERRUPTED = "interrupted. What Azure has begun goes on; run again to go on from there."
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
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
    if_another_run: IfAnotherRun = "wait",
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Create the environment, or bring it to its spec; a finished one is left as it is.

    Progress goes to standard error. Interrupted or failed, run it again: it goes on where it stopped.
    """
    with prefect_found(quiet):
        outputs, summary, pages = asyncio.run(_run_provision(spec, if_another_run, quiet=quiet))
    if as_json:
        print(outputs.model_dump_json(indent=2))
    if quiet:
        return
    if summary and not as_json:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(summary))
    for what, url in pages.items():
        print(f"{what}: {url}", file=sys.stderr)


async def _run_provision(
    spec: EnvironmentSpec, if_another_run: Literal["wait", "refuse"], *, quiet: bool
) -> tuple[EnvironmentOutputs, str | None, dict[str, str]]:
    from aks_postgres.flows.provision import provision as provision_flow
    from aks_postgres.runs.prefect_server import pages_of, summary_of

    with as_a_run(spec, quiet=quiet):
        run: Any = await provision_flow(spec, if_another_run, return_state=True)
        run_id: UUID = run.state_details.flow_run_id
        outputs: EnvironmentOutputs = await run.result()
    return outputs, await summary_of(run_id), pages_of(run_id)


@contextmanager
def as_a_run(spec: EnvironmentSpec, *, quiet: bool) -> Iterator[None]:
    """Runs inside carry the tags of a deployment's, for the automations, and show their progress on standard error."""
    from prefect import tags

    from aks_postgres.reports.journal import Journal, use_journal

    with tags("aks-postgres", spec.name, spec.region), use_journal(Journal()) as journal:
        if quiet:
            yield
            return
        from rich.console import Console

        from aks_postgres.cli.progress import progress

        with progress(Console(stderr=True)) as show:
            journal.subscribe(show)
            yield


@environment_command(app)
def plan(
    spec: EnvironmentSpec,
    as_json: Json = False,
) -> None:
    """Print what `provision` would create and change, field by field, and what a day costs; only reads.

    Reader rights are enough, but for what is in the cluster (Azure Kubernetes Service Cluster User Role). Exit code 0
    says that there is nothing to do, 5 that there is something, 1 that something can't be done, or that Azure couldn't
    be asked.
    """
    from aks_postgres.exit_codes import ExitCode
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.flows.plan import headline, make_plan
    from aks_postgres.reports.cost import cost_text

    found = asyncio.run(make_plan(spec, recorded=False))
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        for step in found.steps:
            if step.action == "nothing":
                continue
            print(f"{step.action:14} {step.step}  {step.reason}".rstrip())
            for field in step.fields:
                print(f"{'':14} {field}")
        for warning in found.warnings:
            print(f"Warning: {warning}", file=sys.stderr)
        print(cost_text(found.cost))
        print(headline(found))
    if found.is_empty_as_far_as_seen:
        return
    raise typer.Exit(ExitCode.CHANGES if found.changes and not found.refusals else ExitCode.FAILED)


@environment_command(app)
def outputs(
    spec: EnvironmentSpec,
    output_format: Annotated[
        Literal["table", "json", "env"],
        typer.Option("--format", help="env prints the guide's own variables for a shell."),
    ] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Print the names, IDs and endpoints of a finished environment; only reads."""
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.flows.provision import read_outputs

    found = asyncio.run(read_outputs(spec))
    if as_json or output_format == "json":
        print(found.model_dump_json(indent=2))
        return
    from aks_postgres.cli.guide_variables import guide_variables

    if output_format == "env":
        for variable, value in guide_variables(found).items():
            print(f"export {variable}={shlex.quote(value)}")
        return
    for what, shown in _table_of(found).items():
        print(f"{what:24} {shown}")


def _table_of(found: EnvironmentOutputs) -> dict[str, object]:
    return {
        "Environment": f"{found.spec.name} in {found.spec.region}, generation {found.place.generation}",
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
    }


@environment_command(app)
def kubeconfig(
    spec: EnvironmentSpec,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write it; by default a file of the environment's own."),
    ] = None,
) -> None:
    """Write the cluster's credentials to a file of their own, mode 0600; never to ~/.kube/config."""
    from aks_postgres.cli.kubeconfig_file import default_file, refuse_shared_file, write_kubeconfig

    if file is not None:
        refuse_shared_file(file)
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.cli.kubeconfig import kubeconfig as read_kubeconfig

    target = file or default_file(spec)
    write_kubeconfig(target, asyncio.run(read_kubeconfig(spec)))
    print(f"export KUBECONFIG={shlex.quote(str(target.absolute()))}")


@app.command()
def fields(as_json: Json = False) -> None:
    """List every field of the spec with its default, what it may be, and what it means."""
    from pydantic import TypeAdapter

    found = [
        {
            "field": field.path,
            "default": TypeAdapter(Any).dump_python(field.default, mode="json"),
            "allowed": field.constraint,
            "description": field.info.description or "",
        }
        for field in spec_fields()
    ]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for entry in found:
        default = entry["default"]
        print(f"{entry['field']} = {json.dumps(default) if default is not None else 'unset'}")
        print(f"    {entry['description']}")
        print(f"    Allowed: {entry['allowed']}")
