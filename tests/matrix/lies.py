"""Lists that lie to a deleting flow: what Azure or Kubernetes answers with 200 is no whole list of its kind.

The lists are those of the ledger of a clean run. Each lies from its first read on, over an environment with something
that must stop the flow and that the lie would hide (where there is such a thing), and from its last read on.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

from aks_postgres.errors import ProvisioningError
from aks_postgres.reports.outputs import EnvironmentOutputs

from ..flows.stage import kube_for
from ..flows.test_lying_lists import ARM, ARM_LIES, KUBERNETES, Hazard, endanger, kubernetes_lies
from .end_state import unlike
from .outcomes import Outcome
from .plain import Flow
from .world import Clean, World

Json = dict[str, Any]

DELETING: tuple[Flow, ...] = ("tear_down", "rebuild blue_green", "rebuild replace")
# As the lies are called in ARM and in Kubernetes; a page of ARM's says only by its nextLink that there is more.
PAGE = "first page only"
LOST = "/resourcegroups/next-page"
LIES = (
    ("{}", "{}"),
    ("null", "null"),
    ("a Status", "a Status"),
    ("entries of another kind", "another kind"),
    ("null entries", "null items"),
    ("an array of nulls", "an array of nulls"),
    (PAGE, PAGE),
)
# What refusals call the lists that only a rebuild reads.
OF_A_REBUILD = {
    "AlertRuleRecommendations_ListByResource": "rule groups",
    "ManagedClusters_ListKubernetesVersions": "Kubernetes versions",
    "ResourceSkus_List": "VM sizes",
    "Skus_List": "storage SKUs",
    "Subscriptions_ListLocations": "regions",
    "Usage_List": "vCPU quota",
    "Usages_List": "network quota",
}


@dataclass(frozen=True)
class Lie:
    """From the n-th read on, a list of that path is answered with a lie."""

    flow: Flow
    lie: str
    service: str
    operation: str
    path: str
    read: Literal["first", "last"]
    nth: int

    @property
    def id(self) -> str:
        """What it is known by from one run of the matrix to the next."""
        return f"{self.flow}: {self.lie} at GET {self.path} from the {self.read} read on"

    @property
    def hides(self) -> Hazard:
        """What the list would show that has to stop the flow."""
        return (ARM | KUBERNETES).get(self.operation, ("", ""))[1] if self.read == "first" else ""


def lies(flow: Flow, ledger: list[Json]) -> Iterator[Lie]:
    """Every list that the flow reads, with every lie."""
    reads = Counter((one["service"], one["operation"], one["path"]) for one in ledger if _is_list(one))
    for (service, operation, path), count in reads.items():
        for of_arm, of_kubernetes in LIES:
            lie = of_arm if service == "arm" else of_kubernetes
            yield Lie(flow, lie, service, operation, path, "first", 1)
            if count > 1:
                yield Lie(flow, lie, service, operation, path, "last", count)


def _is_list(entry: Json) -> bool:
    """By the name that Azure's specifications and Kubernetes' verbs give the operation; 404: no such kind there."""
    name = str(entry["operation"])
    if entry["method"] != "GET" or entry["status"] not in (200, 404):
        return False
    return name.startswith("list ") if entry["service"] == "kubernetes" else "_List" in name


def lie_outcome(world: World, lie: Lie) -> Outcome:
    """Run the flow with the lie; compare with the run without; where nothing else stops it, run it again."""
    began_s = time.monotonic()
    clean = _honest(world, lie.flow, lie.hides)
    _go_to(world, lie.hides)
    there = {str(one["id"]).casefold() for one in world.azure.control("GET", "resources")["resources"]}
    order = {
        "service": lie.service,
        "method": "GET",
        "path": f"^{re.escape(lie.path)}$",
        "nth": lie.nth,
        "times": None,
        "do": {
            "status": 200,
            "raw_body": json.dumps(_body(world, lie)),
            "headers": {"content-type": "application/json"},
        },
    }
    world.azure.control("POST", "faults", order)
    world.azure.fault({"status": 404, "code": "ResourceGroupNotFound"}, path=f"{LOST}$", times=None)
    said, problems = "", []
    try:
        world.run(lie.flow)
    except ProvisioningError as error:
        said = str(error)
    except BaseException as error:
        problems.append(f"no refusal but {type(error).__name__}: {error}")
    if not world.azure.control("GET", "faults")["faults"][0]["hits"]:
        return Outcome(lie.id, "not met", took_s=time.monotonic() - began_s)
    # What a failed rebuild has begun beside the old generation is removed by it.
    more = [one for one in _deleted(world.azure.ledger(), there) if one not in _deleted(clean.ledger, there)]
    problems += [f"deleted, and not without the lie: {path}" for path in more[:4]]
    if not said and not problems:
        problems.append("no refusal")
    if said and not _names(said, lie):
        problems.append("the refusal doesn't name the list")
    if not lie.hides and not problems:
        problems += _run_again(world, lie.flow)
    problems += [f"another end: {one}" for one in unlike(clean.end, world.end())[:4]]
    verdict: Any = "defect" if problems else "refused, then same end"
    detail = " / ".join(filter(None, ["; ".join(problems), said]))
    return Outcome(lie.id, verdict, detail[:1500], time.monotonic() - began_s)


def _honest(world: World, flow: Flow, hides: Hazard) -> Clean:
    """The run without a lie; over a hazard it is refused, and leaves all as it was."""
    if not hides:
        return world.clean(flow)
    if (flow, hides) not in world.refused:
        _go_to(world, hides)
        before = world.end()
        try:
            world.run(flow)
        except ProvisioningError:
            world.refused[flow, hides] = Clean(world.azure.ledger(), set(), before)
        else:
            raise AssertionError(f"{flow} went on over a {hides}")
    return world.refused[flow, hides]


def _go_to(world: World, hides: Hazard) -> None:
    """A finished environment with that in it."""
    if hides not in world.endangered:
        world.go_to_start("tear_down")
        with tempfile.TemporaryDirectory() as folder:
            found = world.azure.control("GET", "resources")["resources"]
            (cluster,) = (one for one in found if one["type"].casefold().endswith("/managedclusters"))
            group = cluster["id"].partition("/providers/")[0]
            made = cast(
                EnvironmentOutputs,
                SimpleNamespace(
                    cluster=SimpleNamespace(id=cluster["id"]), resource_group=SimpleNamespace(id=group)
                ),
            )
            endanger(world.azure, made, kube_for(world.azure, made, Path(folder)), hides)
        world.endangered[hides] = world.azure.control("GET", "state")
    world.azure.control("PUT", "state", world.endangered[hides])


def _deleted(ledger: list[Json], there: set[str]) -> Counter[str]:
    """What was asked to be deleted: in Kubernetes, and of what was there at the start."""
    return Counter(
        path
        for one in ledger
        if one["method"] == "DELETE"
        and ((path := str(one["path"]).casefold()) in there or one["service"] == "kubernetes")
    )


def _body(world: World, lie: Lie) -> Any:
    if lie.service == "kubernetes":
        return kubernetes_lies(lie.path)[lie.lie]
    if lie.lie == PAGE:
        return {"value": [], "nextLink": f"{world.azure.endpoint}{world.azure.subscription}{LOST}"}
    return ARM_LIES[lie.lie]


def _names(said: str, lie: Lie) -> bool:
    """Whether a refusal names the list: as the tests do, by its path's last part, or by the role looked for."""
    last = lie.path.rpartition("/")[2]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", last)
    known = OF_A_REBUILD.get(lie.operation) or (ARM | KUBERNETES).get(lie.operation, (last, ""))[0]
    scope = lie.path.partition("/providers/Microsoft.Authorization/")[0].rpartition("/")[2]
    of_a_role = last == "roleAssignments" and re.search(rf"role .* on {re.escape(scope)}\b", said)
    return bool(of_a_role) or any(one.casefold() in said.casefold() for one in (known, last, words))


def _run_again(world: World, flow: Flow) -> list[str]:
    world.azure.control("DELETE", "faults")
    try:
        world.run(flow)
    except BaseException as error:
        return [f"running again: {type(error).__name__}: {error}"]
    return []
