"""`aks-postgres sandbox`: start and stop the local Azure, look into it, and make it fail."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from aks_postgres.cli.spec_options import State, state_folder
from aks_postgres.commands import pasted, program
from aks_postgres.exit_codes import CommandFailed, ExitCode

app = typer.Typer(
    help="The local Azure: start it, stop it, look into it, make it fail.", no_args_is_help=True
)
faults_app = typer.Typer(help="List, order and cancel failures.", invoke_without_command=True)
app.add_typer(faults_app, name="faults")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def start(
    state: State = None,
    speed: Annotated[float, typer.Option(help="How many times faster than Azure its clock runs.")] = 60.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Of ids, durations and delays.")] = 1,
    kubernetes: Annotated[
        Literal["emulated", "real"],
        typer.Option(help="real runs etcd and kube-apiserver from KUBEBUILDER_ASSETS."),
    ] = "emulated",
    persist: Annotated[bool, typer.Option("--persist", help="Keep its resources over a restart.")] = False,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE", help="Make something go wrong until the first reset; may be repeated."
        ),
    ] = None,
) -> None:
    """Start the sandbox in the background."""
    from aks_postgres.cli.sandbox_process import start_sandbox
    from aks_postgres.yaml_files import read_yaml

    files = [what for what in scenario or () if not is_scenario_name(what)]
    for file in files:  # the sandbox, which reads them, couldn't say it here
        read_yaml(Path(file), field="--scenario", decimals=True)
    found = start_sandbox(
        state_folder(state),
        speed=speed,
        port=port,
        seed=seed,
        kubernetes=kubernetes,
        persist=persist,
        scenarios=[str(Path(what).absolute()) if what in files else what for what in scenario or ()],
    )
    print(f"Sandbox at {found.endpoint}, process {found.pid}, {found.speed:g} times as fast as Azure.")
    where = ["--state", str(state)] if state else []
    use = pasted("provision", "--name", "cnpg", "--region", "canadacentral", "--sandbox", *where)
    print(f"Use it:  {use}")
    print(f"Stop it: {pasted('sandbox', 'stop', *where)}")


@app.command()
def stop(state: State = None) -> None:
    """Stop the sandbox; its resources are gone unless it was started with --persist."""
    from aks_postgres.cli.sandbox_process import stop_sandbox

    found = stop_sandbox(state_folder(state))
    if found is None:
        print("No sandbox is running.")
    else:
        print(f"Stopped the sandbox at {found.endpoint} (process {found.pid}).")


@app.command()
def status(state: State = None, as_json: Json = False) -> None:
    """Say whether the sandbox runs, where, and what it holds; exit code 4 when it doesn't run."""
    from aks_postgres.cli.sandbox_client import running_sandbox

    sandbox = running_sandbox(state_folder(state))
    clock = sandbox.call("GET", "clock")
    shown = {
        "endpoint": sandbox.endpoint,
        "pid": sandbox.pid,
        "clock": clock["now"],
        "speed": clock["speed"],
        "kubernetes": sandbox.kubernetes,
        "subscription_id": sandbox.subscription_id,
        "resources": len(sandbox.call("GET", "resources")["resources"]),
        "requests": len(sandbox.call("GET", "ledger")["entries"]),
        "faults": len(sandbox.call("GET", "faults")["faults"]),
        "state": str(sandbox.state),
    }
    if as_json:
        _print_json(shown)
    else:
        for name, value in shown.items():
            print(f"{name:16} {value}")


@app.command()
def reset(
    state: State = None,
    seed: Annotated[int | None, typer.Option(help="A new seed; by default the same.")] = None,
    speed: Annotated[float | None, typer.Option(help="A new speed; by default the same.")] = None,
) -> None:
    """Empty the sandbox: resources, ledger, faults, settings, clusters."""
    from aks_postgres.cli.sandbox_client import running_sandbox

    wanted = {"seed": seed, "speed": speed}
    running_sandbox(state_folder(state)).call(
        "POST", "reset", {name: value for name, value in wanted.items() if value is not None}
    )
    print("The sandbox is empty again.")


@app.command()
def env(
    state: State = None,
    shell: Annotated[Literal["sh", "json"], typer.Option(help="Shell commands, or JSON.")] = "sh",
    cloud: Annotated[
        Literal["custom", "public"],
        typer.Option(
            help="public puts the sandbox in Azure's place, under Azure's own host names, by a proxy on this "
            "machine: for clients that can't be told another endpoint. This command isn't one of them."
        ),
    ] = "custom",
) -> None:
    """Print what to export for az, the Azure SDKs, kubectl and this command.

    In a shell: eval "$(aks-postgres sandbox env)"
    """
    from aks_postgres.cli.sandbox_client import running_sandbox

    sandbox = running_sandbox(state_folder(state)).at_its_speed()
    if cloud == "custom":
        variables, advice = {**sandbox.variables(), **sandbox.client_variables()}, _CUSTOM_CLOUD
    else:
        variables, advice = sandbox.public_cloud_variables(), _PUBLIC_CLOUD
    if shell == "json":
        _print_json(variables)
        return
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    # A cloud's name with the port: after a restart on another one, az still knows the old.
    again = pasted("sandbox", "env", *(["--state", str(state)] if state else []))
    port = urlsplit(sandbox.endpoint).port
    text = advice.format(endpoint=sandbox.endpoint, port=port, env=again, us=program())
    if _is_registered(sandbox.state, f"sandbox-{port}"):
        # az refuses to register a cloud twice.
        text = "\n".join(line for line in text.splitlines() if "az cloud register" not in line)
    print(text)


def _is_registered(state: Path, cloud: str) -> bool:
    """Return whether az knows the cloud: https://learn.microsoft.com/cli/azure/azure-cli-configuration."""
    try:
        return f"[{cloud}]" in (state / "az" / "clouds.config").read_text().splitlines()
    except OSError:
        return False


_CUSTOM_CLOUD = """
# In a shell: eval "$({env})"
# az, once (its configuration is kept in the state folder, away from yours):
#   az cloud register -n sandbox-{port} --endpoint-resource-manager {endpoint}
#   az cloud set -n sandbox-{port}
#   az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant "$AZURE_TENANT_ID"
# az storage container and blob also need --blob-endpoint {endpoint}/blob/ACCOUNT.
# Azure SDKs: base_url and credential scope are $AKS_POSTGRES_ARM_ENDPOINT, and the credential needs
#   disable_instance_discovery=True.
# kubectl: az aks get-credentials, or {us} kubeconfig --name NAME --region REGION --file "$KUBECONFIG"."""

_PUBLIC_CLOUD = """
# In a shell of its own: eval "$({env} --cloud public)"
# az, once (its configuration is kept in the state folder, away from yours):
#   az login --service-principal -u "$AZURE_CLIENT_ID" -p "$AZURE_CLIENT_SECRET" --tenant "$AZURE_TENANT_ID"
# Azure SDKs need nothing else. Through the proxy only Azure's names and this machine can be reached."""


@app.command()
def ledger(
    state: State = None,
    service: Annotated[str | None, typer.Option(help="Only arm, entra, graph, blob or kubernetes.")] = None,
    since: Annotated[
        int | None, typer.Option(min=0, help="Only what came after the first N requests.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines, with bodies.")] = False,
) -> None:
    """List every request the sandbox got, with its answer."""
    from aks_postgres.cli.sandbox_client import running_sandbox

    entries = running_sandbox(state_folder(state)).call("GET", "ledger", since=since)["entries"]
    entries = [entry for entry in entries if service in (None, entry["service"])]
    if as_json:
        for entry in entries:
            print(json.dumps(entry))
        return
    for entry in entries:
        when = f"{entry['n']:5} {entry['at_s']:9.1f} s"
        what = f"{entry['service']:10} {entry['method']:6} {entry.get('operation') or entry['path']}"
        print(f"{when}  {what}  {entry['status']} {entry.get('error_code') or ''}".rstrip())


@app.command()
def resources(state: State = None, as_json: Json = False) -> None:
    """List the resources that exist."""
    from aks_postgres.cli.sandbox_client import running_sandbox

    found = running_sandbox(state_folder(state)).call("GET", "resources")["resources"]
    if as_json:
        _print_json(found)
        return
    rows = [
        (
            str(body.get("type", "")),
            str(body.get("name", "")),
            str((body.get("properties") or {}).get("provisioningState", "")),
        )
        for body in found
    ]
    _print_columns(("TYPE", "NAME", "STATE"), sorted(rows))


@faults_app.callback()
def faults(context: typer.Context, state: State = None, as_json: Json = False) -> None:
    """List the failures ordered, and the scenarios that can be: what each does, and what a good client does."""
    from aks_postgres.cli.sandbox_client import find_sandbox
    from aks_postgres.cli.sandbox_process import shipped_scenarios

    context.obj = state
    if context.invoked_subcommand:
        return
    sandbox = find_sandbox(state_folder(state))
    ordered = {"faults": [], "scenarios": []} if sandbox is None else sandbox.call("GET", "faults")
    shipped = shipped_scenarios() if sandbox is None else sandbox.call("GET", "scenarios")["scenarios"]
    if as_json:
        _print_json({**ordered, "catalogue": shipped})
        return
    for scenario in shipped:
        print(f"{scenario['name']}\n    {scenario['title']}.\n    A good client: {scenario['reaction']}")
        print(f"    {scenario['source']}")
    where = ["--state", str(state)] if state else []
    order = pasted("sandbox", "faults", *where, "order")
    print(f"\nOrder one with `{order} NAME`, or orders of your own with FILE.")
    if sandbox is None:
        print("No sandbox is running.")
    elif not ordered["faults"] and not ordered["scenarios"]:
        print("No failure is ordered.")
    if ordered["scenarios"]:
        print(f"In force: {', '.join(ordered['scenarios'])}")
    for fault in ordered["faults"]:
        print(json.dumps({name: value for name, value in fault.items() if value is not None}))


@faults_app.command("order")
def order_faults(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A scenario, by its name; or a file in YAML or JSON with a scenario, an order or a list of "
            "orders; - is stdin.",
        ),
    ],
    state: State = None,
) -> None:
    """Order failures: which request they hit, and what then happens.

    For example: {operation: ManagedClusters_CreateOrUpdate, nth: 1, do: {status: 503, code: ServerBusy}}
    """
    from aks_postgres.cli.sandbox_client import running_sandbox
    from aks_postgres.yaml_files import read_yaml

    if is_scenario_name(what):
        wanted: Any = {"name": what}
    else:
        wanted = read_yaml(Path(what), field="faults order", decimals=True)
        if isinstance(wanted, dict) and "do" in wanted:
            wanted = [wanted]
        if isinstance(wanted, list):
            wanted = {"orders": wanted}
        if not isinstance(wanted, dict):
            raise CommandFailed(f"{what}: an order is a mapping, or a list of them", ExitCode.BAD_INPUT)
        wanted = {**wanted, "name": Path(what).stem}
    answer = running_sandbox(state_folder(state or context.obj)).call("POST", "scenarios", wanted)
    for fault in answer["faults"]:
        print(fault)
    for name, value in answer["settings"].items():
        print(f"{name} = {json.dumps(value)}")


def is_scenario_name(what: str) -> bool:
    """Return whether a scenario is named, rather than a file."""
    path = Path(what)
    return what != "-" and not path.suffix and len(path.parts) == 1 and not path.exists()


@faults_app.command("clear")
def clear_faults(context: typer.Context, state: State = None) -> None:
    """Cancel all failures ordered, and take the settings of scenarios back."""
    from aks_postgres.cli.sandbox_client import running_sandbox

    running_sandbox(state_folder(state or context.obj)).call("DELETE", "faults")
    print("No failure is ordered any more.")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def _print_columns(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
