"""The command that compares a recording made with --record with what a sandbox answers to the same."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aks_postgres.cli.environment import Json
from aks_postgres.exit_codes import CommandFailed, ExitCode

if TYPE_CHECKING:
    from aks_postgres.cli.sandbox_client import RunningSandbox

app = typer.Typer()

# A run's minutes become seconds, and the client's own time still counts little.
_SPEED = 60.0
# Real seconds for one command; an environment takes some twenty.
_LONGEST_S = 1800


def nothing_to_record(context: typer.Context) -> CommandFailed:
    """The refusal of `--record` by a command that doesn't talk to Azure."""
    return CommandFailed(
        f"{context.invoked_subcommand} doesn't talk to Azure, so --record has nothing to keep. Leave it out.",
        ExitCode.BAD_INPUT,
    )


@app.command()
def compare_recording(
    recorded: Annotated[Path, typer.Argument(metavar="FOLDER", help="A recording made on Azure.")],
    other: Annotated[
        Path | None,
        typer.Argument(
            metavar="[SANDBOX_FOLDER]",
            help="The same commands, recorded on a sandbox. Without it they are run on one now.",
        ),
    ] = None,
    as_json: Json = False,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="FOLDER", help="Where to keep the recording that is made now."),
    ] = None,
) -> None:
    """Say, operation by operation, where a sandbox answers otherwise than Azure did: status, shape, header or order.

    Without a second folder it starts a sandbox, runs the recorded commands there with what the recording keeps of
    their specs, and stops it; some minutes. Exit code 0 says that nothing differs, 1 that something does.

    Example: aks-postgres compare-recording from-azure
    """
    from aks_postgres.reports.recordings import differences, read_recording

    try:
        theirs = read_recording(recorded)
        if other is not None:
            ours = read_recording(other)
        else:
            with tempfile.TemporaryDirectory() as folder:
                ours = read_recording(
                    _on_a_sandbox(recorded, Path(folder), keep or Path(folder, "recording"))
                )
    except (OSError, ValueError) as error:
        raise CommandFailed(f"compare-recording: {error}", ExitCode.BAD_INPUT) from None
    found = differences(theirs, ours, ("Azure", "the sandbox"))
    if as_json:
        print(json.dumps([vars(difference) for difference in found], indent=2))
    else:
        before = ""
        for difference in found:
            if difference.operation != before:
                print(difference.operation)
            before = difference.operation
            print(f"  {difference}")
        print(
            f"{len(found)} differences in {len({difference.operation for difference in found})} operations."
        )
    if found:
        raise typer.Exit(1)


def _on_a_sandbox(recorded: Path, folder: Path, recording: Path) -> Path:
    """Run a recording's commands on a sandbox of its own; returns the recording of that.

    Raises:
        ValueError: it says none that a sandbox can repeat.
    """
    from aks_postgres.cli.sandbox_process import start_sandbox, stop_sandbox
    from aks_postgres.reports.recordings import runs_in

    runs = runs_in(recorded)
    repeated = [(command, spec) for command, spec in runs if command]
    if not repeated:
        raise ValueError(
            f"{recorded} doesn't say which commands it holds. Run them on a sandbox with --record, and give that "
            "folder too"
        )
    if left_out := len(runs) - len(repeated):
        _say(
            f"{left_out} of {len(runs)} recorded commands only look, or can't be repeated; they are left out."
        )
    state = folder / "sandbox"
    sandbox = start_sandbox(state, speed=_SPEED)
    try:
        if any((spec.get("cluster") or {}).get("access") == "entra" for _, spec in repeated):
            _sign_in_with_cluster_admin(sandbox)
        for command, spec in repeated:
            _repeat(command, spec, folder, state, recording)
    finally:
        stop_sandbox(state)
    return recording


def _sign_in_with_cluster_admin(sandbox: RunningSandbox) -> None:
    """Have the sandbox's commands run as an identity that Entra clusters let in, as the one on Azure was let in."""
    from aks_postgres.preflight.permissions import CLUSTER_ADMIN

    scope = f"/subscriptions/{sandbox.subscription_id}"
    roles = [{"role": role, "scope": scope} for role in ("Owner", CLUSTER_ADMIN)]
    made = sandbox.call("POST", "principals", {"roles": roles})
    file = sandbox.state / "sandbox.json"
    described = json.loads(file.read_text())
    file.write_text(json.dumps({**described, **{key: made[key] for key in ("client_id", "client_secret")}}))


def _repeat(command: str, spec: dict[str, Any], folder: Path, state: Path, recording: Path) -> None:
    name, *options = command.split()
    region = str(spec.get("region") or "canadacentral")
    given = folder / "spec.json"
    given.write_text(json.dumps({"name": "cnpg", **spec, "region": region}))
    options += ["--spec", str(given), "--sandbox", "--state", str(state)]
    if name == "provision":
        options += ["--yes"]
    elif name in ("tear-down", "rebuild"):
        options += ["--confirm", f"cnpg-{region}"]
    _say(f"On a sandbox: {command}")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "aks_postgres.cli.main", "--record", str(recording), name, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=_LONGEST_S,
    )
    if done.returncode in (0, ExitCode.CHANGES):
        return
    words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode != ExitCode.FAILED:
        raise CommandFailed(
            f"compare-recording: {command} couldn't run on the sandbox: {words}", ExitCode(done.returncode)
        )
    # As it may have done on Azure.
    _say(f"  it failed: {words}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
