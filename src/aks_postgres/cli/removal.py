"""The commands that take an environment away, or make it anew."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aks_postgres.cli.environment import (
    How,
    IfAnotherRun,
    Json,
    Shows,
    Verbose,
    Yes,
    as_a_run,
    prefect_found,
    print_markdown,
)
from aks_postgres.cli.spec_options import environment_command
from aks_postgres.exit_codes import CommandFailed, ExitCode

if TYPE_CHECKING:
    from aks_postgres.reports.rebuild import RebuildPlan, Rebuilt, Strategy
    from aks_postgres.reports.receipt import Receipt
    from aks_postgres.spec.environment import EnvironmentSpec

app = typer.Typer()
Confirm = Annotated[
    str | None,
    typer.Option(
        metavar="NAME-REGION",
        help="Name and region, typed, such as cnpg-canadacentral; needed for all but --plan.",
    ),
]
DiscardData = Annotated[
    str | None,
    typer.Option(
        metavar="NAME-REGION",
        help="Delete databases and volumes without a proven backup too: name and region, typed.",
        show_default=False,
    ),
]
BackupAge = Annotated[
    int, typer.Option(min=1, max=10080, help="How old each database's newest backup may be, in minutes.")
]


def _refuse_wrong_words(
    what: str, spec: EnvironmentSpec, confirm: str, delete_backups: str | None, discard_data: str | None
) -> None:
    """Refuse a typing error at once, before a server is looked for and a run is made."""
    from aks_postgres.spec.confirmation import refusal, word_problems

    if problems := word_problems(spec, confirm, delete_backups, discard_data):
        raise CommandFailed(refusal(what, spec, problems), ExitCode.BAD_INPUT)


def _typed(what: str, spec: EnvironmentSpec, confirm: str | None) -> str:
    if confirm is None:
        raise CommandFailed(
            f"{what} needs --confirm {spec.name}-{spec.region}, typed; --plan shows what would go. Nothing was "
            "deleted.",
            ExitCode.BAD_INPUT,
        )
    return confirm


@environment_command(app)
def tear_down(
    spec: EnvironmentSpec,
    confirm: Confirm = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Show what would go, what stays and what stands against it.")
    ] = False,
    delete_backups: Annotated[
        str | None,
        typer.Option(
            metavar="ACCOUNT",
            help="Delete the backups too: the storage account's name, typed.",
            show_default=False,
        ),
    ] = None,
    discard_data: DiscardData = None,
    backup_age_min: BackupAge = 60,
    if_another_run: IfAnotherRun = "wait",
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no receipt.")] = False,
    verbose: Verbose = False,
    progress: How = "auto",
) -> None:
    """Delete what the environment owns, and print what became of everything; backups stay unless named.

    Refuses before the first deletion. Interrupted or failed, run it again: it goes on where it stopped.

    Example: aks-postgres tear-down --name cnpg --region canadacentral --plan
    """
    if only_plan:
        _show_tear_down(spec, delete_backups, discard_data, backup_age_min, as_json=as_json)
        return
    confirm = _typed("tear-down", spec, confirm)
    _refuse_wrong_words("tear-down", spec, confirm, delete_backups, discard_data)
    words = {
        "confirm": confirm,
        "delete_backups": delete_backups,
        "discard_data": discard_data,
        "backup_age_min": backup_age_min,
        "if_another_run": if_another_run,
    }
    with prefect_found(quiet):
        receipt, text = asyncio.run(_run_tear_down(spec, words, Shows(quiet, verbose, progress)))
    if as_json:
        print(receipt.model_dump_json(indent=2))
    elif not quiet:
        print_markdown(text or receipt.headline)


def _show_tear_down(
    spec: EnvironmentSpec,
    delete_backups: str | None,
    discard_data: str | None,
    backup_age_min: int,
    *,
    as_json: bool,
) -> None:
    """Print what a tear-down would do.

    Raises:
        Exit: 5 if something would go, 1 if something stands against it.
    """
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.cli.plan_text import print_plan
    from aks_postgres.flows._removal_view import make_tear_down_view

    view = asyncio.run(make_tear_down_view(spec, delete_backups, discard_data, backup_age_min))
    if as_json:
        print(view.as_json(everything=True))
    else:
        print_plan(view, everything=True)
    if not view.is_empty:
        raise typer.Exit(ExitCode.FAILED if view.can_t else ExitCode.CHANGES)


async def _run_tear_down(
    spec: EnvironmentSpec, words: dict[str, Any], shows: Shows
) -> tuple[Receipt, str | None]:
    from aks_postgres.flows.tear_down import tear_down as tear_down_flow
    from aks_postgres.runs.prefect_server import summary_of

    with as_a_run(spec, shows):
        run: Any = await tear_down_flow(spec, **words, return_state=True)
    text = await summary_of(run.state_details.flow_run_id)
    if not run.is_completed() and text and not shows.quiet:
        print_markdown(text, to_error=True)  # how far it got
    receipt: Receipt = await run.aresult()
    return receipt, text


@environment_command(app)
def rebuild(
    spec: EnvironmentSpec,
    confirm: Confirm = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Show what is deleted, what is made and which addresses change.")
    ] = False,
    strategy: Annotated[
        Literal["blue_green", "replace"],
        typer.Option(help="The new generation beside the old one until it is verified, or in its place."),
    ] = "blue_green",
    approval: Annotated[
        bool,
        typer.Option("--approval", help="Wait with the plan until somebody approves it in the Prefect UI."),
    ] = False,
    approval_hours: Annotated[int, typer.Option(min=1, max=168, help="How long that is waited for.")] = 24,
    if_it_fails: Annotated[
        Literal["remove", "keep"],
        typer.Option(help="With blue_green, what becomes of a new generation that couldn't be made."),
    ] = "remove",
    discard_data: DiscardData = None,
    backup_age_min: BackupAge = 60,
    if_another_run: IfAnotherRun = "wait",
    yes: Yes = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Also where another run has made a new generation since this one started."
        ),
    ] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no result.")] = False,
    verbose: Verbose = False,
    progress: How = "auto",
) -> None:
    """Make the environment anew, and print old and new addresses; backups stay.

    On a terminal it shows what is deleted, what is made and which addresses change, and asks.

    Refuses before the first write. Interrupted or failed, run it again: it goes on where it stopped.

    Example: aks-postgres rebuild --name cnpg --region canadacentral --plan
    """
    if only_plan:
        _show_rebuild(spec, strategy, discard_data, backup_age_min, as_json=as_json)
        return
    confirm = _typed("rebuild", spec, confirm)
    _refuse_wrong_words("rebuild", spec, confirm, None, discard_data)
    approved = None
    if not yes and not approval:
        approved = _approved_rebuild(spec, strategy, confirm, discard_data, backup_age_min)
    options = {
        "approved_plan": approved,
        "confirm": confirm,
        "strategy": strategy,
        "approval": approval,
        "approval_hours": approval_hours,
        "if_it_fails": if_it_fails,
        "discard_data": discard_data,
        "backup_age_min": backup_age_min,
        "if_another_run": if_another_run,
        "again": again,
    }
    with prefect_found(quiet):
        rebuilt, message = asyncio.run(_run_rebuild(spec, options, Shows(quiet, verbose, progress)))
    if message and not quiet:
        print(message, file=sys.stderr)
    if as_json:
        print(rebuilt.model_dump_json(indent=2))
    elif not quiet:
        from aks_postgres.runs.rebuild_text import rebuilt_text

        print_markdown(rebuilt_text(spec, rebuilt))


def _approved_rebuild(
    spec: EnvironmentSpec, strategy: Strategy, confirm: str, discard_data: str | None, backup_age_min: int
) -> str:
    """Show the plan of a rebuild and ask; the digest of what was approved."""
    from aks_postgres.cli.approval import ask, require_person

    require_person("rebuild")
    plan = _plan_of_rebuild(spec, strategy, confirm, discard_data, backup_age_min)
    _print_rebuild(plan, to_error=True)
    if plan.refusals:
        raise CommandFailed(f"rebuild of {plan.environment} can't be done; nothing was written.")
    ask("Do this?")
    return plan.digest


def _show_rebuild(
    spec: EnvironmentSpec,
    strategy: Strategy,
    discard_data: str | None,
    backup_age_min: int,
    *,
    as_json: bool,
) -> None:
    """Print what a rebuild would do.

    Raises:
        Exit: 5, as a rebuild always changes something; 1 if something stands against it.
    """
    from aks_postgres.spec.names import environment_key

    plan = _plan_of_rebuild(spec, strategy, environment_key(spec), discard_data, backup_age_min)
    if as_json:
        print(plan.model_dump_json(indent=2))
    else:
        _print_rebuild(plan, to_error=False)
    raise typer.Exit(ExitCode.FAILED if plan.refusals else ExitCode.CHANGES)


def _plan_of_rebuild(
    spec: EnvironmentSpec, strategy: Strategy, confirm: str, discard_data: str | None, backup_age_min: int
) -> RebuildPlan:
    from aks_postgres.runs.prefect_server import prepare_prefect

    prepare_prefect()
    from aks_postgres.flows.rebuild import make_rebuild_plan

    return asyncio.run(make_rebuild_plan(spec, strategy, confirm, discard_data, backup_age_min))


def _print_rebuild(plan: RebuildPlan, *, to_error: bool) -> None:
    from aks_postgres.cli.plan_text import print_plan, print_text
    from aks_postgres.runs.rebuild_text import addresses_text

    if plan.view:
        print_plan(plan.view, to_error=to_error)
    said = ["", "Addresses that change", *(f"  {line}" for line in addresses_text(plan)), ""]
    if plan.old and not plan.first and not plan.refusals:
        cost = plan.cost.doubled()
        said.append(
            f"While both generations run: at least {cost.low_usd:.2f} to {cost.high_usd:.2f} USD a day."
        )
    said.append(f"{plan.headline}. Backups stay. Plan {plan.digest}.")
    print_text(said, to_error=to_error)


async def _run_rebuild(
    spec: EnvironmentSpec, options: dict[str, Any], shows: Shows
) -> tuple[Rebuilt, str | None]:
    from aks_postgres.flows.rebuild import rebuild as rebuild_flow

    with as_a_run(spec, shows):
        run: Any = await rebuild_flow(spec, **options, return_state=True)
    rebuilt: Rebuilt = await run.aresult()
    return rebuilt, run.message if run.name == "AlreadyRebuilt" else None
