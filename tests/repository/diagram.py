"""`python -m tests.repository.diagram` draws the steps of `provision` in CONTRIBUTING.md, as the flow starts them.

Steps that wait for the same, and that the same wait for, are one box; what another arrow says already isn't drawn.
"""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import UUID

from aks_postgres.flows._environment import start_environment
from aks_postgres.runs.steps import Steps
from aks_postgres.spec.environment import EnvironmentSpec

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
_FENCES = ("```mermaid\n", "```\n")
# What isn't a step, and the database, which has a page of its own.
_HEAD = """flowchart TD
    spec([EnvironmentSpec]) -->|down, as far as each step| run([run_session: one connection, one journal])
    run --> lock([one_writer: waits for its turn]) --> preflight"""
_TAIL = """    cnpg_operator --> database[the steps of a database] --> generation
    generation -->|up, from every step| outputs([EnvironmentOutputs])"""
SUBNET = (
    f"/subscriptions/{UUID(int=0)}/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/n"
)
# With every step that the spec can ask for, besides a database's.
SPEC = EnvironmentSpec.model_validate(
    {"storage": {"identity": "separate", "immutability_days": 7}, "network": {"subnet_id": SUBNET}}
)


async def edges() -> dict[str, set[str]]:
    """For each step the steps that it waits for, by what they work on. None of them begins."""
    steps = Steps(recorded=False)
    start_environment(steps, SPEC)
    for started in asyncio.all_tasks() - {asyncio.current_task()}:
        started.cancel()
    return {_noun(step): {_noun(earlier) for earlier in before} for step, before in steps.edges.items()}


def _noun(step: str) -> str:
    return step.partition("_")[2] or step


def reduced(before: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the edges that go the long way round as well; steps come after those that they wait for."""
    all_before: dict[str, set[str]] = {}
    for step, direct in before.items():
        all_before[step] = direct.union(*(all_before[earlier] for earlier in direct))
    return {
        step: {one for one in direct if not any(one in all_before[other] for other in direct)}
        for step, direct in before.items()
    }


def drawn(before: dict[str, set[str]]) -> str:
    """Boxes and arrows, in Mermaid's words."""
    after = defaultdict(set)
    for step, direct in before.items():
        for earlier in direct:
            after[earlier].add(step)
    boxes: dict[Any, list[str]] = defaultdict(list)
    for step, direct in before.items():
        boxes[frozenset(direct), frozenset(after[step])].append(step)
    box_of = {step: box[0] for box in boxes.values() for step in box}
    lines = [f"    {box[0]}[{',<br>'.join(box)}]" for box in boxes.values() if len(box) > 1]
    for (direct, _), box in boxes.items():
        if earlier := sorted({box_of[step] for step in direct}, key=list(before).index):
            lines.append(f"    {' & '.join(earlier)} --> {box[0]}")
    return "\n".join((_HEAD, *lines, _TAIL)) + "\n"


def written(page: str) -> str:
    """The page as it should be."""
    head, fence, rest = page.partition(_FENCES[0])
    assert fence
    return head + fence + drawn(reduced(asyncio.run(edges()))) + _FENCES[1] + rest.partition(_FENCES[1])[2]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
