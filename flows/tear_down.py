"""Takes an environment away: what it owns and nothing else, in reverse order, and says what became of everything.

Guide: Create infrastructure, "Clean up resources".
"""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from aks_postgres.errors import ProvisioningError
from aks_postgres.flows._retirement import BACKUP_AGE_MIN, removals_of, start_tear_down
from aks_postgres.foreign_text import in_markdown
from aks_postgres.reports.receipt import Receipt
from aks_postgres.runs.confirmation import not_confirmed
from aks_postgres.runs.one_writer import IfAnotherRun, one_writer
from aks_postgres.runs.receipt_text import receipt_text
from aks_postgres.runs.run_name import environment_in, run_name
from aks_postgres.runs.session import run_session
from aks_postgres.runs.signals import cancelled_by_a_person
from aks_postgres.runs.steps import Steps
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import environment_key
from aks_postgres.tasks.clean_up import end_cluster_operation
from aks_postgres.tasks.inventory import take_inventory


@flow(flow_run_name=run_name(environment_in("tear down")))
@cancelled_by_a_person
async def tear_down(
    spec: EnvironmentSpec,
    confirm: str,
    delete_backups: str | None = None,
    discard_data: str | None = None,
    backup_age_min: Annotated[int, Field(ge=1, le=10080)] = BACKUP_AGE_MIN,
    if_another_run: IfAnotherRun = "wait",
) -> State[Receipt]:
    """Delete everything that this environment owns; backups survive unless their account's name is typed.

    Refuses before the first deletion, with every reason at once. Interrupted, it goes on when it is run again.

    Guide: Create infrastructure, "Clean up resources".

    Args:
        spec: the environment, as it was provisioned.
        confirm: the environment's name and region, typed, such as cnpg-canadacentral.
        delete_backups: the storage account's name, typed, to delete it with all backups.
        discard_data: the environment's name and region, typed, to delete databases and volumes without a proven backup.
        backup_age_min: how old the newest backup of each Postgres cluster may be, in minutes.
        if_another_run: wait for another run that is writing to this environment, or refuse, naming it.

    Returns:
        What was deleted, kept, not found, and what Azure keeps for a while; Completed as `NothingLeft` if nothing was
        there. Cancelled as `NotConfirmed`, with Azure not even asked, if a word is typed wrong.

    Raises:
        EnvironmentBusy: another run is writing to the environment.
        TearDownRefused: something stands against it; nothing was deleted.
        ProvisioningError: the first step that failed; running again continues.
    """
    if refused := not_confirmed("tear-down", spec, confirm, delete_backups, discard_data):
        return refused
    key = environment_key(spec)
    words = (confirm, delete_backups, discard_data, backup_age_min)
    async with (
        run_session(spec, command="tear-down") as run,
        one_writer(run.azure, spec, if_another_run) as lock,
    ):
        inventory = await take_inventory(spec, *words, takes_unfinished=True)
        if inventory.targets or (inventory.backup_accounts and delete_backups):
            # What was refused left no trace; what goes on looks again once nobody else can write.
            await lock.secure()
            for target in inventory.unfinished:
                await end_cluster_operation(spec, target)
            inventory = await take_inventory(spec, *words)
        async with Steps(collects_failures=True) as steps:
            started = start_tear_down(steps, spec, inventory)
        failures = await steps.failures()
        reasons = [str(failure) for failure in failures if isinstance(failure, ProvisioningError)]
        receipt = Receipt.of(key, inventory, await removals_of(started), reasons)
        await acreate_markdown_artifact(
            receipt_text(receipt), key=f"receipt-{key}", description=in_markdown(receipt.headline)
        )
        if failures:
            raise failures[0]
    name = "NothingLeft" if receipt.is_empty else "Completed"
    return Completed(name=name, message=receipt.headline, data=receipt)
