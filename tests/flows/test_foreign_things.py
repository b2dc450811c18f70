"""What others have put where a tear-down deletes, on a whole environment: refused by name, before the first write."""

from typing import Any

import pytest

from aks_postgres.flows.provision import provision
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.tear_down.errors import TearDownRefused

from ..conftest import spec_for
from ..tasks.test_node_group import TAGS, THEIRS
from .conftest import writes
from .stage import CLUSTER, Stage, put
from .test_lasting_states import STOPPED
from .test_tear_down import KEY, VOLUMES

pytestmark = pytest.mark.usefixtures("prefect_api")

Json = dict[str, Any]

# Of types that the sandbox knows; names that AKS has given to nothing in the finished environment.
UNKNOWN = ("Microsoft.Compute/images", "Microsoft.KeyVault/vaults", "Microsoft.Web/sites")
FOREIGN = [
    (kind, name) for kind, name, more in THEIRS if not more and "/" not in name and kind not in UNKNOWN
]


def stored(stage: Stage, kind: str, name: str, tags: Json | None = None) -> Json:
    """Somebody's resource in the node resource group, as the sandbox keeps it."""
    example = next(one for one in stage.all("virtualNetworks/aks-vnet"))
    group = stage.outputs.cluster.node_resource_group_id
    resource_id = f"{group}/providers/{kind}/{name}"
    body = {
        **example["body"],
        "id": resource_id,
        "name": name,
        "type": kind,
        "tags": tags or {},
        "properties": {},
    }
    return {**example, "id": resource_id, "type": kind, "body": body}


async def refused(stage: Stage, **words: Any) -> list[str]:
    """What the tear-down is refused for; it must have written nothing."""
    since = len(stage.azure.ledger())
    with pytest.raises(TearDownRefused) as error:
        await tear_down(spec_for(stage.azure), KEY, **words)
    assert writes(stage.azure.ledger()[since:]) == []
    return list(error.value.problems)


async def test_everything_foreign_among_the_nodes_is_named_at_once(stage: Stage) -> None:
    stage.state["resources"] += [stored(stage, kind, name, TAGS) for kind, name in FOREIGN]
    stage.azure.control("PUT", "state", stage.state)
    found = await refused(stage, discard_data=KEY)
    assert {problem.split(" in ")[0] for problem in found} == {f"{kind} {name}" for kind, name in FOREIGN}


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "name"), FOREIGN)
async def test_one_foreign_thing_among_the_nodes_is_enough(stage: Stage, kind: str, name: str) -> None:
    """Tagged as a claim's disk, which a policy may copy to anything; as data it may go."""
    stage.state["resources"].append(stored(stage, kind, name, TAGS))
    stage.azure.control("PUT", "state", stage.state)
    (problem,) = await refused(stage, discard_data=KEY)
    assert problem.startswith(f"{kind} {name} in ")


def disk_of(stage: Stage, name: str) -> Json:
    group = stage.outputs.cluster.node_resource_group_id
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "20Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {
                "driver": "disk.csi.azure.com",
                "volumeHandle": f"{group}/providers/Microsoft.Compute/disks/{name}",
            },
        },
    }


async def test_what_the_clusters_objects_explain_goes_if_its_data_may(stage: Stage) -> None:
    group = stage.outputs.cluster.node_resource_group_id
    stage.azure.control("PUT", "state", stage.state)
    kube = stage.kube()
    kube.create(VOLUMES, disk_of(stage, "pvc-1"))
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"ports": [{"port": 80}]},
    }
    uid = kube.create("/api/v1/namespaces/default/services", service)["metadata"]["uid"]
    state = stage.azure.control("GET", "state")
    balancer = f"a{uid.replace('-', '')[:31]}"
    link = stored(stage, "Microsoft.Network/privateLinkServices", f"pls-{balancer}")
    own, theirs = (
        stored(stage, "Microsoft.Network/networkInterfaces", f"pls-{balancer}.nic.{which}")
        for which in ("own", "theirs")
    )
    link["body"]["properties"] = {"networkInterfaces": [{"id": own["id"]}]}
    state["resources"] += [
        stored(stage, "Microsoft.Compute/disks", "pvc-1"),
        stored(stage, "Microsoft.Network/publicIPAddresses", f"kubernetes-{balancer}"),
        *(link, own, theirs),
    ]
    stage.azure.control("PUT", "state", state)
    (interface, problem) = await refused(stage)
    assert interface.startswith(f"Microsoft.Network/networkInterfaces pls-{balancer}.nic.theirs in ")
    assert problem.startswith("PersistentVolume pvc-1 ")
    state = stage.azure.control("GET", "state")
    state["resources"] = [one for one in state["resources"] if one["id"] != theirs["id"]]
    stage.azure.control("PUT", "state", state)
    receipt = await tear_down(spec_for(stage.azure), KEY, discard_data=KEY)
    assert group in {item.id for item in receipt.deleted}


async def test_of_a_stopped_cluster_a_disk_isnt_known_whatever_is_typed(stage: Stage) -> None:
    stage.one(CLUSTER)["properties"]["powerState"] = STOPPED
    stage.state["resources"].append(stored(stage, "Microsoft.Compute/disks", "pvc-1", TAGS))
    stage.azure.control("PUT", "state", stage.state)
    (problem,) = await refused(stage, discard_data=KEY)
    assert problem.startswith("Microsoft.Compute/disks pvc-1 in ")
    assert "az aks start --resource-group" in problem


@pytest.mark.thorough
async def test_a_stopped_cluster_without_such_things_goes_with_its_data(stage: Stage) -> None:
    stage.one(CLUSTER)["properties"]["powerState"] = STOPPED
    stage.azure.control("PUT", "state", stage.state)
    receipt = await tear_down(spec_for(stage.azure), KEY, discard_data=KEY)
    assert "AKS cluster" in {item.what for item in receipt.deleted}


async def test_a_node_group_that_has_lost_its_cluster_is_left_to_a_person(stage: Stage) -> None:
    group = stage.outputs.place.names.node_resource_group
    cluster = stage.id(CLUSTER)
    stage.state["resources"] = [
        one for one in stage.state["resources"] if not one["id"].casefold().startswith(cluster.casefold())
    ]
    stage.azure.control("PUT", "state", stage.state)
    problems = await refused(stage)
    assert [one for one in problems if one.startswith(f"resource group {group}: AKS cluster ")]
    assert f"az group delete --name {group}" in " ".join(problems)


# What Azure would forbid half-way, and what would go along with the backups.

DENIALS, STORAGE = "2022-04-01", "2025-08-01"
EVERYONE = {"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}


async def test_a_deny_assignment_is_met_before_anything_is_deleted(stage: Stage) -> None:
    stage.azure.control("PUT", "state", stage.state)
    name = "0f000000-0000-4000-8000-000000000000"
    path = f"{stage.outputs.cluster.id}/providers/Microsoft.Authorization/denyAssignments/{name}"
    permissions = [{"actions": ["*/delete"], "notActions": []}]
    properties = {"denyAssignmentName": "hands off", "permissions": permissions, "principals": [EVERYONE]}
    put(stage.azure, path, DENIALS, {"properties": properties})
    answer = stage.azure.arm("DELETE", stage.outputs.cluster.id, api_version="2026-06-01")
    assert answer.json()["error"]["code"] == "DenyAssignmentAuthorizationFailed"
    (problem,) = await refused(stage)
    assert problem.startswith("deny assignment hands off on ")


@pytest.mark.parametrize(
    "what",
    [
        "container",
        *(
            pytest.param(one, marks=pytest.mark.thorough)
            for one in ("hold", "locked policy", "our own policy")
        ),
    ],
)
async def test_what_is_kept_with_the_backups_stops_their_deletion_only(stage: Stage, what: str) -> None:
    stage.azure.control("PUT", "state", stage.state)
    account = stage.outputs.storage_account
    path = f"{account.id}/blobServices/default/containers/{'archive' if what == 'container' else 'backups'}"
    if what == "container":
        put(stage.azure, path, STORAGE, {"properties": {}})
    elif what == "hold":
        body: Json = {"tags": ["case7"]}
        assert stage.azure.arm("POST", f"{path}/setLegalHold", body, api_version=STORAGE).ok
    elif what == "our own policy":
        answer = stage.azure.arm("DELETE", path, api_version=STORAGE)
        assert answer.ok
        stage.azure.step(60)
        spec = spec_for(stage.azure, storage={"immutability_days": 30})
        assert (await provision(spec)).changes["backup_immutability"].kind == "created"
        (problem, also) = await refused(stage, delete_backups=account.name)
        assert problem.startswith("blob container backups in storage account")
        assert "has an immutability policy (Unlocked, 30 days)" in problem
        assert "keeps versions immutable" in also
        receipt = await tear_down(spec, KEY)
        assert "AKS cluster" in {item.what for item in receipt.deleted}
        return
    else:
        put(
            stage.azure,
            f"{path}/immutabilityPolicies/default",
            STORAGE,
            {"properties": {"immutabilityPeriodSinceCreationInDays": 30}},
        )
        assert stage.azure.arm("POST", f"{path}/immutabilityPolicies/default/lock", api_version=STORAGE).ok
    if what != "container":
        assert stage.azure.arm("DELETE", account.id, api_version=STORAGE).status_code == 409
    (problem,) = await refused(stage, delete_backups=account.name)
    assert problem.startswith(f"blob container {path.rpartition('/')[2]} in storage account {account.name}")
    receipt = await tear_down(spec_for(stage.azure), KEY)
    assert "AKS cluster" in {item.what for item in receipt.deleted}
