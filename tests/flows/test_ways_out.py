"""Ways out that were walked: the state, the message, what it says to do, a good end.

`tests/repository/test_ways_out.py` holds that every way out is walked, here or by a test that is named there, or has a
reason why not.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from aks_postgres.arm.error_codes import RULES, rule_for
from aks_postgres.arm.responses import ArmFault
from aks_postgres.errors import PermanentError
from aks_postgres.flows._errors import NotThere
from aks_postgres.flows._listing import status_of
from aks_postgres.flows.deploy_database import deploy_database
from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision
from aks_postgres.flows.rebuild import rebuild
from aks_postgres.flows.tear_down import tear_down
from aks_postgres.preflight.errors import PreflightFailed
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.names import GENERATION, STATE, Names
from azure_sandbox.client import SandboxProcess

from ..cases import shown
from ..conftest import point_at, spec_for
from ..repository.ways import matches, ways
from ..tasks.test_entra_cluster import CLUSTER_ADMIN
from ..tasks.test_operator_chart import needs_helm, packed
from .conftest import quicken
from .database_state import components, with_database
from .stage import (
    ACCOUNT,
    API_VERSIONS,
    CLUSTER,
    GRAFANA,
    GROUP,
    IDENTITY,
    LOGS,
    POOLS,
    Stage,
    azure_sets,
    delete,
    put,
)
from .test_foreign_things import DENIALS, EVERYONE
from .test_lying_lists import well_formed
from .test_rebuild import give_blobs
from .test_tear_down import (
    CLAIMS,
    GROUPS,
    KEY,
    LOCKS,
    VOLUMES,
    back_up,
    claim,
    destination_of,
    lock,
    make_database,
)

pytestmark = pytest.mark.usefixtures("prefect_api")

Json = dict[str, Any]
GOVERNED = {"CostCenter": "1", "Environment": "Prod"}
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
ADDRESS: Json = {
    "location": "canadacentral",
    "sku": {"name": "Standard"},
    "properties": {"publicIPAllocationMethod": "Static"},
}


@dataclass
class Scene:
    """What a walk happens in: the environment, a person's hands, and what they have in them."""

    stage: Stage
    patch: pytest.MonkeyPatch
    told: str = ""
    kept: Json = field(default_factory=dict)

    @property
    def azure(self) -> SandboxProcess:
        return self.stage.azure

    def group(self, name: str = "") -> str:
        return f"{self.azure.subscription}/resourceGroups/{name or self.stage.outputs.resource_group.name}"


Does = Callable[[Scene], Any]


def nothing(_: Scene) -> None:
    """The spec alone says it, or time does."""


@dataclass(frozen=True)
class Walk:
    """A state, and the way out of it.

    Args:
        ways: that it is told with, by their names in `tests.repository.ways`.
        before: what Azure's stored state is changed to.
        by_hand: what people and machines do then.
        spec: fields of the spec that is refused, or a function of the scene.
        does: what the message says to do, but for the spec.
        then: fields of the spec afterwards; None if they stay.
        flow: which is refused, and run again.
        words: its other arguments, at first and then.
        bare: whether it begins in an empty subscription.
    """

    ways: tuple[str, ...]
    before: Does = nothing
    by_hand: Does = nothing
    spec: Json | Callable[[Scene], Json] = field(default_factory=dict)
    does: Does = nothing
    then: Json | Callable[[Scene], Json] | None = None
    flow: str = "provision"
    words: tuple[Json, Json] = ({}, {})
    bare: bool = False
    helm: bool = False


# --- what people and Azure do -------------------------------------------------------------------------------------


def settings(**values: Any) -> Does:
    return lambda scene: scene.azure.settings(**values)


def env(name: str, value: str | None) -> Does:
    def do(scene: Scene) -> None:
        if value is None:
            scene.patch.delenv(name, raising=False)
        else:
            scene.patch.setenv(name, value)

    return do


def all_of(*parts: Does) -> Does:
    return lambda scene: [part(scene) for part in parts]


def stored_as(which: str, values: Json) -> Does:
    return lambda scene: azure_sets(which, values).do(scene.stage)


def again(which: str, values: Json) -> Does:
    """The same, by Azure, later on."""

    def do(scene: Scene) -> None:
        azure_sets(which, values).do(scene.stage)
        scene.azure.control("PUT", "state", scene.stage.state)

    return do


def tags_of(which: str, change: Callable[[Json], Json]) -> Does:
    """A person replaces tags."""

    def do(scene: Scene) -> None:
        path, version = scene.stage.id(which), API_VERSIONS[which.partition("/")[0]]
        body = scene.azure.arm("GET", path, api_version=version).json()
        put(
            scene.azure, path, version, {"location": body["location"], "tags": change(body.get("tags") or {})}
        )

    return do


def wiped(scene: Scene) -> None:
    for one in scene.stage.state["resources"]:
        if one["type"].endswith("/resourceGroups") and one["body"].get("tags"):
            one["body"]["tags"] = dict(GOVERNED)


def both_groups(scene: Scene) -> Json:
    outputs = scene.stage.outputs
    groups = [outputs.cluster.resource_group, outputs.backup_group.name]
    assert f"adopt: [{', '.join(groups)}]" in scene.told
    return {"adopt": groups}


def second_current(scene: Scene) -> None:
    """Another generation's group, tagged as the current one by hand."""
    names = Names.of(spec_for(scene.azure), scene.azure.subscription_id, 2)
    tags = scene.azure.arm("GET", scene.group(), api_version=GROUPS).json()["tags"]
    scene.kept["second"] = names.resource_group
    body = {"location": "canadacentral", "tags": {**tags, GENERATION: "2", STATE: "current"}}
    put(scene.azure, scene.group(names.resource_group), GROUPS, body)


def not_current(scene: Scene) -> None:
    delete(scene.azure, scene.group(scene.kept["second"]), GROUPS)
    scene.azure.step(5000)


def a_group_elsewhere(scene: Scene) -> None:
    put(scene.azure, scene.group(), GROUPS, {"location": "westeurope"})


def group_on_its_way_out(scene: Scene) -> None:
    scene.azure.settings(durations={"resource_group_delete": 36_000})
    tags = {"managed-by": "aks-postgres", "aks-postgres-environment": KEY, GENERATION: "1", STATE: "building"}
    put(scene.azure, scene.group(), GROUPS, {"location": "canadacentral", "tags": tags})
    delete(scene.azure, scene.group(), GROUPS)


def be(*roles: str) -> Does:
    """Be another service principal, with these roles on the subscription."""

    def do(scene: Scene) -> None:
        given = [{"role": role, "scope": scene.azure.subscription} for role in roles]
        made = scene.azure.control("POST", "principals", {"roles": given})
        scene.kept["principal"] = made["object_id"]
        scene.patch.setenv("AZURE_CLIENT_ID", made["client_id"])
        scene.patch.setenv("AZURE_CLIENT_SECRET", made["client_secret"])

    return do


def give_owner(scene: Scene) -> None:
    name = "33333333-3333-4333-8333-333333333333"
    role = f"{scene.azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"
    properties = {
        "roleDefinitionId": role,
        "principalId": scene.kept["principal"],
        "principalType": "ServicePrincipal",
    }
    path = f"{scene.azure.subscription}/providers/Microsoft.Authorization/roleAssignments/{name}"
    put(scene.azure, path, API_VERSIONS["roleAssignments"], {"properties": properties})
    scene.azure.step(600)


def let_in(scene: Scene) -> None:
    """Somebody gives the run's identity the role in the cluster."""
    roles = f"{scene.azure.subscription}/providers/Microsoft.Authorization"
    properties = {
        "roleDefinitionId": f"{roles}/roleDefinitions/{CLUSTER_ADMIN}",
        "principalId": scene.azure.object_id,
        "principalType": "ServicePrincipal",
    }
    path = f"{roles}/roleAssignments/44444444-4444-4444-8444-444444444444"
    put(scene.azure, path, API_VERSIONS["roleAssignments"], {"properties": properties})
    scene.azure.settings(role_effect_s=0)


def resource_there(below: str, path: str, version: str, body: Json) -> Does:
    def do(scene: Scene) -> None:
        owner = scene.stage.id(below) if "/" in below else scene.azure.subscription
        scene.kept["theirs"] = (f"{owner}{path}", version)
        put(scene.azure, f"{owner}{path}", version, body)
        scene.azure.step(100)

    return do


def resource_gone(scene: Scene) -> None:
    delete(scene.azure, *scene.kept["theirs"])
    scene.azure.step(1000)


def kube_has(path: str, body: Json) -> Does:
    return lambda scene: scene.stage.kube().create(path, body)


def kube_lost(path: str) -> Does:
    def do(scene: Scene) -> None:
        scene.stage.kube().delete(path)
        scene.azure.step(600)

    return do


def ranges(*given: str) -> Does:
    def do(scene: Scene) -> None:
        path, version = scene.stage.id(CLUSTER), API_VERSIONS["managedClusters"]
        body = scene.azure.arm("GET", path, api_version=version).json()
        profile = body["properties"].setdefault("apiServerAccessProfile", {})
        scene.kept.setdefault("ranges", profile.get("authorizedIPRanges"))
        profile["authorizedIPRanges"] = list(given) or scene.kept["ranges"]
        put(scene.azure, path, version, body)
        scene.azure.step(1000)

    return do


def started(scene: Scene) -> None:
    path = f"{scene.stage.id(CLUSTER)}/start"
    assert scene.azure.arm("POST", path, api_version=API_VERSIONS["managedClusters"]).status_code == 202
    scene.azure.step(1000)


def stopped(scene: Scene) -> None:
    path = f"{scene.stage.id(CLUSTER)}/stop"
    assert scene.azure.arm("POST", path, api_version=API_VERSIONS["managedClusters"]).status_code == 202
    scene.azure.step(1000)


def without_cluster(scene: Scene) -> None:
    cluster = scene.stage.id(CLUSTER).casefold()
    state = scene.stage.state
    state["resources"] = [one for one in state["resources"] if not one["id"].casefold().startswith(cluster)]


def node_group_deleted(scene: Scene) -> None:
    group = scene.group(scene.stage.outputs.place.names.node_resource_group)
    delete(scene.azure, group, GROUPS)
    scene.azure.step(5000)


def denied(scene: Scene) -> None:
    name = "0f000000-0000-4000-8000-000000000000"
    path = f"{scene.stage.id(CLUSTER)}/providers/Microsoft.Authorization/denyAssignments/{name}"
    permissions = [{"actions": ["*/delete"], "notActions": []}]
    properties = {"denyAssignmentName": "hands off", "permissions": permissions, "principals": [EVERYONE]}
    put(scene.azure, path, DENIALS, {"properties": properties})


def undone(scene: Scene) -> None:
    """Whoever did it takes it back."""
    scene.azure.control("PUT", "state", scene.stage.state)


def fault(do: Json, **where: Any) -> Does:
    return lambda scene: scene.azure.fault(do, times=None, **where)


def no_faults(scene: Scene) -> None:
    scene.azure.control("DELETE", "faults")


def manifest_of(content: bytes, name: str = "operator.yaml") -> Callable[[Scene], Json]:
    def fields(scene: Scene) -> Json:
        file = scene.stage.folder / name
        file.write_bytes(content)
        return {
            "operator": {"manifest_url": str(file), "manifest_sha256": hashlib.sha256(content).hexdigest()}
        }

    return fields


def no_such_file(scene: Scene) -> Json:
    description = scene.azure.description
    sha256 = description["operator_manifest_sha256"]
    return {"operator": {"manifest_url": f"{scene.stage.folder}/there.yaml", "manifest_sha256": sha256}}


def file_put_there(scene: Scene) -> None:
    url = scene.azure.description["operator_manifest_url"]
    answer = scene.azure.http.get(url, timeout=30)
    (scene.stage.folder / "there.yaml").write_bytes(answer.content)


def chart(archive: bytes | None = None, more: Json | None = None, **values: Any) -> Callable[[Scene], Json]:
    def fields(scene: Scene) -> Json:
        content = packed() if archive is None else archive
        file = scene.stage.folder / "chart.tgz"
        file.write_bytes(content)
        given = {
            "installer": "helm",
            "chart": str(file),
            "chart_sha256": hashlib.sha256(content).hexdigest(),
            "chart_values": values,
        }
        return {"operator": given | (more or {})}

    return fields


def nobody(scene: Scene) -> None:
    for name in [*os.environ]:
        if name.startswith(("AZURE_CLIENT", "AZURE_TENANT", "IDENTITY_", "MSI_")):
            scene.patch.delenv(name)
    scene.patch.setenv("PATH", str(scene.stage.folder))


def somebody(scene: Scene) -> None:
    point_at(scene.azure, scene.patch)


def name_taken(scene: Scene) -> None:
    scene.azure.settings(taken_storage_names=[scene.stage.outputs.storage_account.name])


def live_version(version: str) -> Callable[[Scene], None]:
    """The live cluster is of this version."""

    def do(scene: Scene) -> None:
        for which, word in ((CLUSTER, "ubernetesVersion"), (POOLS, "rchestratorVersion")):
            first = "k" if which == CLUSTER else "o"
            keys = (f"properties.{first}{word}", f"properties.current{first.upper()}{word}")
            azure_sets(which, dict.fromkeys(keys, version)).do(scene.stage)

    return do


def database_without_backup(scene: Scene) -> None:
    give_blobs(scene.azure, scene.stage.outputs)
    make_database(scene.stage.kube(), destination=destination_of(scene.stage.outputs))


def backed_up(scene: Scene) -> None:
    back_up(scene.azure, scene.stage.kube(), scene.stage.outputs.storage_account.name)


def lists_nothing(operation: str) -> Does:
    return lambda scene: scene.azure.fault(well_formed([]), operation=operation, times=None)


def disk_of_no_claim(scene: Scene) -> None:
    """Shown beside what is in the node group; the sandbox has no disks of its own."""
    group = scene.group(scene.stage.outputs.place.names.node_resource_group)
    disk = f"{group}/providers/Microsoft.Compute/disks/pvc-1"
    made_for = "kubernetes.io-created-for-pvc-"
    tags = {f"{made_for}name": "pg-1", f"{made_for}namespace": "cnpg-database"}
    shown = {"id": disk, "name": "pvc-1", "type": "Microsoft.Compute/disks", "tags": tags}
    path = f"/resourceGroups/{re.escape(group.rpartition('/')[2])}/resources$"
    scene.azure.fault(well_formed([shown]), path=path, method="GET", times=None)


def address_among_nodes(scene: Scene) -> None:
    group = scene.group(scene.stage.outputs.place.names.node_resource_group)
    path = f"{group}/providers/Microsoft.Network/publicIPAddresses/pip-theirs"
    scene.kept["theirs"] = (path, "2025-09-01")
    put(scene.azure, *scene.kept["theirs"], ADDRESS)
    scene.azure.step(100)


RELEASED: Json = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "pvc-kept"},
    "spec": {
        "capacity": {"storage": "20Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": "db", "name": "gone", "uid": "5d7e9c1e-0000-4000-8000-000000000000"},
        "csi": {"driver": "disk.csi.azure.com", "volumeHandle": ""},
    },
}


def released_volume(scene: Scene) -> None:
    group = scene.stage.outputs.cluster.node_resource_group_id
    body = {**RELEASED, "spec": {**RELEASED["spec"], "csi": {**RELEASED["spec"]["csi"]}}}
    body["spec"]["csi"]["volumeHandle"] = f"{group}/providers/Microsoft.Compute/disks/pvc-kept"
    kube = scene.stage.kube()
    kube.create(VOLUMES, body)
    kube.merge(f"{VOLUMES}/pvc-kept/status", {"status": {"phase": "Released"}})


NUMBER = b"{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {A: 60}}"
ORPHAN = f"{CLAIMS.format('cnpg-database')}"
DISCARD = {"discard_data": KEY}

WALKS: dict[str, Walk] = {
    "tags wiped": Walk(("preflight/generations: If it is yours",), wiped, then=both_groups),
    "the tags of the account wiped": Walk(
        ("preflight/region: If it is yours",),
        stored_as(ACCOUNT, {"tags": {"owner": "user"}}),
        then=lambda scene: {"adopt": [scene.stage.outputs.backup_group.name]},
    ),
    "the tags of the identity wiped": Walk(
        ("resources/ownership: If it is yours",),
        stored_as(IDENTITY, {"tags": {"owner": "user"}}),
        then=lambda scene: {"adopt": [scene.stage.outputs.resource_group.name]},
    ),
    "a worker that nobody tells its address": Walk(
        ("tasks/preflight: Set network.worker_address", "preflight/egress: Set network.worker_address"),
        by_hand=env("AKS_POSTGRES_EGRESS_URL", "http://127.0.0.1:9/ip"),
        then={"network": {"worker_address": "20.51.7.9"}},
    ),
    "a worker behind a private address": Walk(
        ("preflight/authorized_ranges: Set network.worker_address",),
        by_hand=settings(egress_address="10.0.0.4"),
        does=settings(egress_address="20.51.7.9"),
        then={"network": {"worker_address": "20.51.7.9"}},
    ),
    "a version that the region hasn't": Walk(
        ("preflight/kubernetes_versions: Choose one of these, or leave",),
        spec={"cluster": {"kubernetes_version": "1.29"}},
        bare=True,
    ),
    "a version before the live one": Walk(
        ("preflight/kubernetes_versions: Leave it unset",),
        spec={"cluster": {"kubernetes_version": "1.34"}},
        then={},
    ),
    "a patch that AKS hasn't": Walk(
        ("preflight/kubernetes_versions: Choose one of these, or _",),
        spec={"cluster": {"kubernetes_version": "1.35.99"}},
        then={"cluster": {"kubernetes_version": "1.35"}},
    ),
    "two minors ahead": Walk(
        ("preflight/kubernetes_versions: Give _ first",),
        spec={"cluster": {"kubernetes_version": "1.37"}},
        then={"cluster": {"kubernetes_version": "1.36"}},
    ),
    "a storage account's name of somebody else's": Walk(
        ("preflight/region: Set another suffix",), by_hand=name_taken, then={"suffix": "other001"}, bare=True
    ),
    "a quota that is too small": Walk(
        ("preflight/vm_sizes: Ask for more quota",),
        by_hand=settings(quota={"standardDSv5Family": 10}),
        does=settings(quota={"standardDSv5Family": 200}),
        bare=True,
    ),
    "two current generations": Walk(
        ("preflight/generations: Run rebuild with confirm",), by_hand=second_current, does=not_current
    ),
    "tagged as retiring by hand": Walk(
        ("preflight/generations: Finish it with",),
        by_hand=tags_of(GROUP, lambda tags: {**tags, STATE: "retiring"}),
        does=tags_of(GROUP, lambda tags: {**tags, STATE: "current"}),
    ),
    "tagged by hand as nobody knows what": Walk(
        ("preflight/generations: Set the tag to current",),
        by_hand=tags_of(GROUP, lambda tags: {**tags, STATE: "Retiring "}),
        does=tags_of(GROUP, lambda tags: {**tags, STATE: "current"}),
    ),
    "tagged as retired by hand": Walk(
        ("tasks/preflight: Set the tag back to current",),
        by_hand=tags_of(GROUP, lambda tags: {**tags, STATE: "retired"}),
        does=tags_of(GROUP, lambda tags: {**tags, STATE: "current"}),
    ),
    "a group of that name in another region": Walk(
        ("preflight/generations: Choose region",),
        by_hand=a_group_elsewhere,
        then={"suffix": "other001"},
        bare=True,
    ),
    "a group on its way out": Walk(
        ("preflight/generations: Wait until it is gone",),
        by_hand=group_on_its_way_out,
        does=lambda scene: scene.azure.step(40_000),
        bare=True,
    ),
    "another suffix": Walk(("preflight/generations: Set the suffix",), spec={"suffix": "other001"}, then={}),
    "a name to adopt that isn't one": Walk(
        ("preflight/generations: Type one of these",), spec={"adopt": "rg-famous"}, then={}
    ),
    "rights that are missing": Walk(
        ("preflight/permissions: Give it _ there",), by_hand=be("Reader"), does=give_owner
    ),
    "a subscription that was disabled": Walk(
        ("preflight/standing: Have its owner enable it",),
        by_hand=settings(subscription_state="Disabled"),
        does=settings(subscription_state="Enabled"),
    ),
    "a workspace that was switched off": Walk(
        ("resources/log_workspace: _, then run again",),
        stored_as(LOGS, {"properties.workspaceCapping": {"dataIngestionStatus": "ForceOff"}}),
        does=again(LOGS, {"properties.workspaceCapping": {"dataIngestionStatus": "RespectQuota"}}),
    ),
    "another size for a pool": Walk(
        ("resources/node_pool: Rename the pool",),
        spec={"postgres_pool": {"vm_size": "Standard_D8s_v5"}},
        then={"postgres_pool": {"vm_size": "Standard_D8s_v5", "name": "postgres2"}},
    ),
    "another Grafana": Walk(
        ("resources/grafana: Set monitoring.grafana_zone_redundancy back",),
        spec={"monitoring": {"grafana_zone_redundancy": False}},
        then={},
    ),
    "another redundancy": Walk(
        ("resources/storage_account: Convert the account's redundancy",),
        spec={"storage": {"sku": "Standard_LRS"}},
        then={},
    ),
    "another size for the system pool": Walk(
        ("arm/kind: Rebuild the environment", "arm/diff: Rebuild the environment"),
        spec={"system_pool": {"vm_size": "Standard_D8s_v5"}},
        then={},
    ),
    "a setting that is no number": Walk(
        ("arm/clock",),
        by_hand=env("AKS_POSTGRES_TIME_SCALE", "fast"),
        does=env("AKS_POSTGRES_TIME_SCALE", "1000"),
    ),
    "a file that is no manifest": Walk(
        ("kubernetes/operator_manifest",), spec=manifest_of(b"<html>: ["), then={}
    ),
    "a recording to nowhere": Walk(
        ("arm/recording: Give a folder",),
        by_hand=env("AKS_POSTGRES_RECORD", "/dev/null/here"),
        does=env("AKS_POSTGRES_RECORD", None),
    ),
    "no credential": Walk(("arm/credentials: Set AZURE_TENANT_ID",), by_hand=nobody, does=somebody),
    "a proxy without a scheme": Walk(
        ("arm/way_to_azure: Set it with http://",),
        by_hand=all_of(
            env("HTTPS_PROXY", "127.0.0.1:3128"),
            env("https_proxy", None),
            env("NO_PROXY", ""),
            env("no_proxy", ""),
        ),
        does=all_of(env("HTTPS_PROXY", None), env("NO_PROXY", None), env("no_proxy", None)),
    ),
    "no Helm": Walk(
        ("kubernetes/helm: Install it",),
        by_hand=lambda scene: scene.patch.setattr("aks_postgres.kubernetes.helm.PACKAGE", "no_such_package"),
        spec=chart(),
        then={},
    ),
    "nobody lets the run into the cluster": Walk(
        ("preflight/permissions: This product never gives that role",),
        spec={"cluster": {"access": "entra"}},
        does=let_in,
    ),
    "another checksum": Walk(
        ("kubernetes/download: If it is the one you want",),
        spec=lambda scene: {
            "operator": {
                "manifest_url": scene.azure.description["operator_manifest_url"],
                "manifest_sha256": "0" * 64,
            }
        },
        then={},
    ),
    "a file that isn't there": Walk(
        ("kubernetes/download: Put the file there",), spec=no_such_file, does=file_put_there
    ),
    "a manifest with a number for a text": Walk(
        ("preflight/operator_check: Use another manifest",), spec=manifest_of(NUMBER), then={}
    ),
    "another namespace for the operator": Walk(
        ("tasks/cnpg_operator: Set namespaces.operator back",),
        spec={"namespaces": {"operator": "elsewhere"}},
        then={},
    ),
    "a cluster that the operator doesn't support any more": Walk(
        ("preflight/kubernetes_versions: Set operator.version to _, or",),
        live_version("1.33.8"),
        then={"cluster": {"kubernetes_version": "1.34"}},
    ),
    "an operator that is too old for the cluster": Walk(
        ("preflight/kubernetes_versions: Set operator.version to _.",),
        live_version("1.36.0"),
        spec={
            "operator": {
                "version": "1.29.0",
                "manifest_url": "https://example.org/cnpg-1.29.0.yaml",
                "manifest_sha256": "0" * 64,
            }
        },
        then={},
    ),
    "an environment of another region": Walk(
        ("flows/_listing",), spec={"region": "westus3"}, then={}, flow="status"
    ),
    "a rebuild of a group with somebody's address": Walk(
        ("flows/rebuild: Do what each line says", "tear_down/ownership: Move it elsewhere"),
        by_hand=resource_there(
            GROUP, "/providers/Microsoft.Network/publicIPAddresses/pip-theirs", "2025-09-01", ADDRESS
        ),
        does=resource_gone,
        flow="rebuild",
    ),
    # --- before anything is deleted ---
    "a deny assignment": Walk(
        ("tear_down/forbidden: Ask whoever set it to remove it",),
        by_hand=denied,
        does=undone,
        flow="tear_down",
    ),
    "somebody's address in the group": Walk(
        ("tear_down/ownership: Move it elsewhere",),
        by_hand=resource_there(
            GROUP, "/providers/Microsoft.Network/publicIPAddresses/pip-theirs", "2025-09-01", ADDRESS
        ),
        does=resource_gone,
        flow="tear_down",
    ),
    "an identity without its tags": Walk(
        ("tear_down/ownership: If it is, give it these tags",),
        stored_as(IDENTITY, {"tags": lambda tags: {"owner": "user"}}),
        does=lambda scene: tags_of(
            IDENTITY, lambda _: scene.azure.arm("GET", scene.group(), api_version=GROUPS).json()["tags"]
        )(scene),
        flow="tear_down",
    ),
    "a lock": Walk(
        ("tear_down/locks: Locks are never removed",),
        by_hand=resource_there(
            CLUSTER, "/providers/Microsoft.Authorization/locks/hands-off", LOCKS, lock("CanNotDelete")
        ),
        does=resource_gone,
        flow="tear_down",
    ),
    "a node group without its cluster": Walk(
        ("tear_down/node_group: Look at it, move what",),
        without_cluster,
        does=node_group_deleted,
        flow="tear_down",
    ),
    "a stopped cluster to be torn down": Walk(
        ("tear_down/goes_along: Start it",), by_hand=stopped, does=started, flow="tear_down"
    ),
    "an API server that this worker may not reach": Walk(
        ("tear_down/goes_along: Run from a worker",),
        by_hand=ranges("192.0.2.0/24"),
        does=ranges(),
        flow="tear_down",
    ),
    "a database that may go": Walk(
        ("tasks/inventory: _. Or type discard_data",),
        by_hand=lambda scene: make_database(scene.stage.kube()),
        flow="tear_down",
        words=({}, DISCARD),
    ),
    "a database without a backup": Walk(
        ("tear_down/live_data: See that its primary runs, and take a backup",),
        by_hand=database_without_backup,
        does=backed_up,
        flow="tear_down",
    ),
    "a group that isn't listed": Walk(
        ("tear_down/second_look: Run again in some minutes",),
        by_hand=lists_nothing("ResourceGroups_List"),
        does=no_faults,
        flow="tear_down",
    ),
    "resources that aren't listed": Walk(
        ("tear_down/second_look: Run again in some minutes",),
        by_hand=lists_nothing("Resources_ListByResourceGroup"),
        does=no_faults,
        flow="tear_down",
    ),
    "a disk of a claim that isn't there": Walk(
        ("tear_down/second_look: Save what is on it and delete the disk",),
        by_hand=disk_of_no_claim,
        does=no_faults,
        flow="tear_down",
    ),
    "somebody's address among the nodes of an unreachable cluster": Walk(
        ("tear_down/node_group: _ Or look at it",),
        by_hand=all_of(address_among_nodes, ranges("192.0.2.0/24")),
        does=all_of(resource_gone, ranges()),
        flow="tear_down",
    ),
    "a claim of no database": Walk(
        ("tear_down/live_data: Save what is on it and delete the claim",),
        by_hand=kube_has(ORPHAN, claim("orphan")),
        does=kube_lost(f"{ORPHAN}/orphan"),
        flow="tear_down",
    ),
    "a volume that was to be kept": Walk(
        ("tear_down/live_data: Save what is on it and delete the volume",),
        by_hand=released_volume,
        does=kube_lost(f"{VOLUMES}/pvc-kept"),
        flow="tear_down",
    ),
    "a tear-down with another suffix": Walk(
        ("tasks/inventory: Set the suffix",), spec={"suffix": "other001"}, then={}, flow="tear_down"
    ),
    "a tear-down without the rights": Walk(
        ("tasks/inventory: Give it Owner",), by_hand=be("Contributor"), does=give_owner, flow="tear_down"
    ),
}
QUICK = {"tags wiped", "a lock", "a quota that is too small"}


def walks() -> list[Any]:
    return [
        pytest.param(
            name,
            marks=[
                *([] if name in QUICK else [pytest.mark.thorough]),
                *([needs_helm] if walk.helm else []),
            ],
        )
        for name, walk in WALKS.items()
    ]


async def run(scene: Scene, walk: Walk, fields: Json, words: Json) -> Any:
    spec = spec_for(scene.azure, **fields)
    if walk.flow == "tear_down":
        return await tear_down(spec, KEY, **words)
    if walk.flow == "rebuild":
        return await rebuild(spec, KEY, **words)
    if walk.flow == "status":
        return await status_of(spec)
    return await provision(spec)


@pytest.mark.parametrize("name", walks())
async def test_a_way_out_leads_to_a_good_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    walk, scene = WALKS[name], Scene(stage, monkeypatch)
    walk.before(scene)
    if walk.bare:
        stage.azure.settings(registered={"Microsoft.Dashboard": True, "Microsoft.Monitor": True})
        quicken(stage.azure)
    else:
        stage.azure.control("PUT", "state", stage.state)
    walk.by_hand(scene)
    fields = walk.spec(scene) if callable(walk.spec) else walk.spec
    with pytest.raises(PermanentError) as refused:
        await run(scene, walk, fields, walk.words[0])
    scene.told = str(refused.value)
    for way in walk.ways:
        assert matches(way, scene.told), f"{way} isn't told:\n{scene.told}"

    walk.does(scene)
    then = walk.then(scene) if callable(walk.then) else walk.then
    fields = ({} if walk.bare and walk.spec else fields) if then is None else then
    await run(scene, walk, fields, walk.words[1])
    if walk.flow == "tear_down":
        answer = stage.azure.arm("GET", scene.group(), api_version=GROUPS)
        assert answer.status_code == 404
    else:
        assert (await make_plan(spec_for(stage.azure, **fields), recorded=False)).is_empty


CODES = sorted(code for code, rule in RULES.items() if rule.reaction == "stop")
# What a code alone doesn't say: the way out by its name, the code, and words that decide.
BY_WORDS = {
    "arm/error_codes: Read Azure's words": ("NobodyKnowsThis", "It is so."),
    "arm/error_codes: The caller's right to assign": (
        "AuthorizationFailed",
        "not fulfilled: an ABAC condition",
    ),
    "arm/error_codes: A ResourceQuota": ("Forbidden", "pods is forbidden: exceeded quota: small"),
    "arm/error_codes: A policy in the cluster": ("Forbidden", "admission webhook x denied the request"),
    "arm/error_codes: The name is held": ("Conflict", "The name is not unique."),
    "arm/error_codes: The cluster or pool was stopped": ("OperationNotAllowed", "It is in a stopped state."),
    "arm/error_codes: The cluster's local accounts are off": (
        "BadRequest",
        "Getting static credential is not allowed because this cluster is set to disable local accounts.",
    ),
}
FAULTS = [*((code, "It is so.") for code in CODES), *BY_WORDS.values()]


@pytest.mark.parametrize(("code", "words"), shown(FAULTS, first=1))
async def test_what_azure_refuses_by_a_code_is_gone_on_with_once_it_is_mended(
    stage: Stage, code: str, words: str
) -> None:
    stage.azure.control("PUT", "state", stage.state)
    stage.azure.fault({"status": 400, "code": code, "message": words}, operation="Grafana_Get", times=None)
    with pytest.raises(PermanentError) as refused:
        await provision(spec_for(stage.azure))
    for way in (way for way, case in BY_WORDS.items() if case == (code, words)):
        assert matches(way, str(refused.value))
    assert rule_for(ArmFault(400, code, words)).advice in refused.value.way_out
    assert f"{code}: {words}" in str(refused.value)

    no_faults(Scene(stage, pytest.MonkeyPatch()))
    outputs = await provision(spec_for(stage.azure))
    assert {change.kind for change in outputs.changes.values()} == {"unchanged"}


@pytest.mark.thorough
async def test_a_database_that_cant_be_as_the_spec_wants_it_is_set_back_or_made_beside(stage: Stage) -> None:
    stage.azure.control("PUT", "state", stage.state)
    state = await with_database(stage.azure, stage.outputs, stage.folder)
    stage.azure.control("PUT", "state", state)

    def wanted(more: Json | None = None, **database: Any) -> EnvironmentSpec:
        given = {"components": components(stage.azure), **database}
        return spec_for(stage.azure, database=given, **(more or {}))

    with pytest.raises(PreflightFailed) as refused:
        await provision(wanted(storage={"size_gib": 32}))
    assert matches("preflight/database_check", str(refused.value))
    plan = await make_plan(wanted(), recorded=False)
    assert [step for step in plan.steps if step.action != "nothing"] == []
    beside = await make_plan(wanted(name="shop", storage={"size_gib": 32}), recorded=False)
    assert "postgres_cluster" in {step.step for step in beside.changes}
    # On an environment that isn't as the spec says.
    changed = wanted({"tags": {"owner": "shop"}})
    with pytest.raises(NotThere) as unfinished:
        await deploy_database(changed)
    assert matches("flows/deploy_database", str(unfinished.value))
    assert (await provision(changed)).changes["grafana"].kind == "updated"
    await deploy_database(changed)
    assert (await make_plan(changed, recorded=False)).is_empty


async def test_a_grafana_of_a_retired_version_is_changed_without_asking_for_that_version(
    stage: Stage,
) -> None:
    stage.one(GRAFANA)["properties"] |= {"grafanaMajorVersion": "10", "grafanaVersion": "10.4.1"}
    stage.azure.control("PUT", "state", stage.state)
    refused = {
        "status": 400,
        "code": "GrafanaMajorVersionNotSupported",
        "message": "Major version 10 isn't valid for this SKU; 11 and 12 are.",
    }
    stage.azure.fault(refused, operation="Grafana_Create", times=None)
    outputs = await provision(spec_for(stage.azure, tags={"owner": "other"}))
    assert outputs.changes["grafana"].kind == "updated"
    assert (await make_plan(spec_for(stage.azure, tags={"owner": "other"}), recorded=False)).is_empty


def test_every_way_that_a_walk_names_is_offered() -> None:
    offered = ways()
    named = [way for walk in WALKS.values() for way in walk.ways]
    assert [way for way in named if not any(re.match(re.escape(way), key) for key in offered)] == []
