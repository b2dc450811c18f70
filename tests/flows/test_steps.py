"""The graph of steps: its edges are typed, and a step of one generation is none of another."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect import Task

from aks_postgres.arm.client import Azure
from aks_postgres.arm.errors import WouldWrite
from aks_postgres.reports.outputs import CREATED, UNCHANGED, StepOutputs
from aks_postgres.runs.session import run_session
from aks_postgres.runs.step import arm_task
from aks_postgres.runs.steps import Step, Steps, every
from azure_sandbox.client import SandboxProcess

from ..conftest import spec_for

HEAD = """
from aks_postgres.reports.outputs import CheckedTarget, ClusterOutputs, IdentityOutputs, RuleOutputs
from aks_postgres.runs.steps import Step, Steps
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.container_insights import ensure_logs_association
from aks_postgres.tasks.public_ip import ensure_network_role, ensure_public_ip


def flow(
    steps: Steps,
    spec: EnvironmentSpec,
    place: Step[CheckedTarget],
    cluster: Step[ClusterOutputs],
    who: Step[IdentityOutputs],
    rule: Step[RuleOutputs],
) -> None:
"""
RIGHT = "    address = steps.start(ensure_public_ip, spec, place, cluster)\n    print(address.name)\n"
WRONG = {
    "swapped": "    steps.start(ensure_network_role, who, cluster)\n",
    "swapped with the spec": "    steps.start(ensure_public_ip, place, spec, cluster)\n",
    "swapped with the cluster": "    steps.start(ensure_logs_association, rule, cluster)\n",
    "left out": "    steps.start(ensure_network_role, cluster)\n",
    "another's outputs": "    found: Step[CheckedTarget] = steps.start(ensure_public_ip, spec, place, cluster)\n",
}


@pytest.mark.thorough
def test_swapped_arguments_of_a_step_fail_the_type_check(tmp_path: Path) -> None:
    for name, body in {"right": RIGHT, **WRONG}.items():
        file = tmp_path / f"{name.replace(' ', '_').replace(chr(39), '')}.py"
        file.write_text(HEAD + body)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary"]
    checked = subprocess.run(
        [*command, *map(str, sorted(tmp_path.glob("*.py")))],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    refused = {
        Path(line.partition(":")[0]).stem for line in checked.stdout.splitlines() if ": error:" in line
    }
    assert refused == {name.replace(" ", "_").replace("'", "") for name in WRONG}, checked.stdout


def step(title: str, work: Any) -> Task[..., Any]:
    return Task(fn=work, name=title.partition(" ")[0], task_run_name=title)


async def test_a_step_of_one_generation_is_none_of_another() -> None:
    async def fails(site: str) -> str:
        if site == "two":
            raise ValueError(f"{site} can't be deleted")
        return site

    async def takes(site: str, cluster: str) -> str:
        return f"{site} after {cluster}"

    delete, forget = step("delete_cluster {site}", fails), step("delete_group {site}", takes)
    async with Steps(recorded=False, collects_failures=True) as steps:
        ends: list[Step[Any]] = []
        for site in ("one", "two", "three"):
            cluster: Step[Any] = steps.start(delete, site)
            ends.append(steps.start(forget, site, cluster))
    one, two, three = ends
    assert (await one.cause(), await three.cause()) == (None, None)
    assert str(await two.cause()) == "two can't be deleted"
    assert await three.result() == "three after three"
    assert steps.edges["delete_group one"] == ("delete_cluster one",)
    assert steps.edges["delete_group three"] == ("delete_cluster three",)


async def test_every_is_an_edge_from_each_and_a_tuple_of_their_outputs() -> None:
    async def gives(name: str) -> str:
        return name

    async def joins(names: tuple[str, ...]) -> str:
        return ", ".join(names)

    async with Steps(recorded=False) as steps:
        given = [steps.start(step("read_name {name}", gives), name) for name in "abc"]
        joined = steps.start(step("join", joins), every(*given))
    assert await joined.result() == "a, b, c"
    assert steps.edges["join"] == ("read_name a", "read_name b", "read_name c")


@arm_task("wait_until_ready", planned=lambda: StepOutputs(change=CREATED))
async def wait_until_ready(azure: Azure) -> StepOutputs:
    azure.gate.begin("it isn't ready")
    return StepOutputs(change=UNCHANGED)


async def test_a_plan_ends_where_only_a_run_that_writes_can_go_on(azure: SandboxProcess) -> None:
    spec = spec_for(azure)
    async with run_session(spec, planning=True):
        assert (await wait_until_ready.fn()).change == CREATED
    async with run_session(spec, read_only=True):
        with pytest.raises(WouldWrite, match="it isn't ready"):
            await wait_until_ready.fn()
    async with run_session(spec):
        assert (await wait_until_ready.fn()).change == UNCHANGED
