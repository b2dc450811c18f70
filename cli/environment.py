"""The commands about one environment: provision it, and look at what is there."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.spec_options import (
    Name,
    Region,
    Settings,
    SpecFile,
    State,
    SubscriptionId,
    Suffix,
    UseSandbox,
    spec_fields,
    wanted_spec,
)

if TYPE_CHECKING:
    from uuid import UUID

    from environment.outputs import EnvironmentOutputs
    from environment.receipt import Receipt
    from environment.spec import EnvironmentSpec

app = typer.Typer()
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def _spec(
    spec_file: Path | None,
    name: str | None,
    region: str | None,
    subscription_id: str | None,
    suffix: str | None,
    settings: list[str] | None,
    sandbox: bool,
    state: Path | None,
) -> EnvironmentSpec:
    """The spec wanted; points this process at the sandbox where that was asked for."""
    from cli.sandbox_client import require_local_endpoint, use_sandbox

    found = None
    if sandbox or state:
        from cli.sandbox import state_folder

        found = use_sandbox(state_folder(state))
    else:
        require_local_endpoint()
    return wanted_spec(
        spec_file,
        name=name,
        region=region,
        subscription_id=subscription_id,
        suffix=suffix,
        settings=settings,
        sandbox=found,
    )


@app.command()
def provision(
    spec_file: SpecFile = None,
    name: Name = None,
    region: Region = None,
    subscription_id: SubscriptionId = None,
    suffix: Suffix = None,
    settings: Settings = None,
    sandbox: UseSandbox = False,
    state: State = None,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Create the environment, or bring it to its spec; a finished one is left as it is.

    Progress goes to standard error. Interrupted or failed, run it again: it goes on where it stopped.
    """
    from cli.prefect_server import prepare_prefect, require_prefect_server

    spec = _spec(spec_file, name, region, subscription_id, suffix, settings, sandbox, state)
    prepare_prefect()
    if require_prefect_server() is None and not quiet:
        print("No Prefect server is set (PREFECT_API_URL): using a temporary one.", file=sys.stderr)
    outputs, summary, pages = asyncio.run(_run_provision(spec, quiet=quiet))
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
    spec: EnvironmentSpec, *, quiet: bool
) -> tuple[EnvironmentOutputs, str | None, dict[str, str]]:
    from cli.prefect_server import pages_of, summary_of
    from environment.journal import Journal, use_journal
    from flows.provision import provision as provision_flow

    with use_journal(Journal()) as journal, _shown(quiet) as show:
        if show is not None:
            journal.subscribe(show)
        run: Any = await provision_flow(spec, return_state=True)
        run_id: UUID = run.state_details.flow_run_id
        outputs: EnvironmentOutputs = await run.result()
    return outputs, await summary_of(run_id), pages_of(run_id)


def _shown(quiet: bool) -> AbstractContextManager[Any]:
    if quiet:
        return nullcontext()
    from rich.console import Console

    from cli.progress import progress

    return progress(Console(stderr=True))


@app.command()
def plan(
    spec_file: SpecFile = None,
    name: Name = None,
    region: Region = None,
    subscription_id: SubscriptionId = None,
    suffix: Suffix = None,
    settings: Settings = None,
    sandbox: UseSandbox = False,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Print what `provision` would create and change, field by field; only reads, and Reader rights are enough.

    Exit code 0 says that there is nothing to do, 5 that there is something, 1 that something can't be done.
    """
    from cli.exit_codes import ExitCode

    spec = _spec(spec_file, name, region, subscription_id, suffix, settings, sandbox, state)
    from cli.prefect_server import prepare_prefect

    prepare_prefect()
    from flows.plan import headline, make_plan

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
        print(headline(found))
    if found.refusals:
        raise typer.Exit(ExitCode.FAILED)
    if not found.is_empty:
        raise typer.Exit(ExitCode.CHANGES)


@app.command()
def tear_down(
    confirm: Annotated[
        str, typer.Option(metavar="NAME-REGION", help="Name and region, typed, such as cnpg-canadacentral.")
    ],
    spec_file: SpecFile = None,
    name: Name = None,
    region: Region = None,
    subscription_id: SubscriptionId = None,
    suffix: Suffix = None,
    settings: Settings = None,
    sandbox: UseSandbox = False,
    state: State = None,
    delete_backups: Annotated[
        str | None,
        typer.Option(
            metavar="ACCOUNT",
            help="Delete the backups too: the storage account's name, typed.",
            show_default=False,
        ),
    ] = None,
    discard_data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME-REGION",
            help="Delete databases and volumes without a proven backup too: name and region, typed.",
            show_default=False,
        ),
    ] = None,
    backup_age_min: Annotated[
        int,
        typer.Option(min=1, max=10080, help="How old each database's newest backup may be, in minutes."),
    ] = 60,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no receipt.")] = False,
) -> None:
    """Delete what the environment owns, and print what became of everything; backups stay unless named.

    Refuses before the first deletion. Interrupted or failed, run it again: it goes on where it stopped.
    """
    from cli.prefect_server import prepare_prefect, require_prefect_server

    spec = _spec(spec_file, name, region, subscription_id, suffix, settings, sandbox, state)
    prepare_prefect()
    if require_prefect_server() is None and not quiet:
        print("No Prefect server is set (PREFECT_API_URL): using a temporary one.", file=sys.stderr)
    words = {
        "confirm": confirm,
        "delete_backups": delete_backups,
        "discard_data": discard_data,
        "backup_age_min": backup_age_min,
    }
    receipt, text = asyncio.run(_run_tear_down(spec, words, quiet=quiet))
    if as_json:
        print(receipt.model_dump_json(indent=2))
    elif not quiet:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text or receipt.headline))


async def _run_tear_down(
    spec: EnvironmentSpec, words: dict[str, Any], *, quiet: bool
) -> tuple[Receipt, str | None]:
    from cli.prefect_server import summary_of
    from environment.journal import Journal, use_journal
    from flows.tear_down import tear_down as tear_down_flow

    with use_journal(Journal()) as journal, _shown(quiet) as show:
        if show is not None:
            journal.subscribe(show)
        run: Any = await tear_down_flow(spec, **words, return_state=True)
    text = await summary_of(run.state_details.flow_run_id)
    if not run.is_completed() and text and not quiet:
        print(text, file=sys.stderr)  # how far it got
    receipt: Receipt = await run.aresult()
    return receipt, text


@app.command()
def outputs(
    spec_file: SpecFile = None,
    name: Name = None,
    region: Region = None,
    subscription_id: SubscriptionId = None,
    suffix: Suffix = None,
    settings: Settings = None,
    sandbox: UseSandbox = False,
    state: State = None,
    output_format: Annotated[
        Literal["table", "json", "env"],
        typer.Option("--format", help="env prints the guide's own variables for a shell."),
    ] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Print the names, IDs and endpoints of a finished environment; only reads."""
    spec = _spec(spec_file, name, region, subscription_id, suffix, settings, sandbox, state)
    from cli.prefect_server import prepare_prefect

    prepare_prefect()
    from flows.provision import read_outputs

    found = asyncio.run(read_outputs(spec))
    if as_json or output_format == "json":
        print(found.model_dump_json(indent=2))
        return
    from cli.guide_variables import guide_variables

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


@app.command()
def kubeconfig(
    spec_file: SpecFile = None,
    name: Name = None,
    region: Region = None,
    subscription_id: SubscriptionId = None,
    suffix: Suffix = None,
    settings: Settings = None,
    sandbox: UseSandbox = False,
    state: State = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write it; by default a file of the environment's own."),
    ] = None,
) -> None:
    """Write the cluster's credentials to a file of their own, mode 0600; never to ~/.kube/config."""
    from cli.kubeconfig_file import default_file, refuse_shared_file, write_kubeconfig

    if file is not None:
        refuse_shared_file(file)
    spec = _spec(spec_file, name, region, subscription_id, suffix, settings, sandbox, state)
    from cli.prefect_server import prepare_prefect

    prepare_prefect()
    from flows.kubeconfig import kubeconfig as read_kubeconfig

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
