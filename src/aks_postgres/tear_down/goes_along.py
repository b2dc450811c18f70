"""What goes with a cluster that is deleted, asked before: what stands among its nodes, and the data in it.

Reads only. `_node_group.py` and `_live_data.py` judge what is found here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import partial

from aks_postgres.arm.client import Azure
from aks_postgres.arm.deletion import settled_but_for_deletion
from aks_postgres.arm.diff import state_of
from aks_postgres.arm.poll import NotInTime, poll
from aks_postgres.arm.resource import is_being_deleted
from aks_postgres.arm.responses import ArmFault, Json
from aks_postgres.arm.retry import all_ended, read, with_retries
from aks_postgres.errors import Finding, PermanentError, ProvisioningError
from aks_postgres.kubernetes.client import KubernetesApi, kubernetes_api
from aks_postgres.kubernetes.power_state import is_stopped, start_cluster_command
from aks_postgres.reports.outputs import Target
from aks_postgres.reports.receipt import BackupAccount
from aks_postgres.resources import public_ip, storage_account
from aks_postgres.resources.group_contents import contents_of
from aks_postgres.resources.managed_cluster import gone_cluster
from aks_postgres.tear_down.archives import read_archives
from aks_postgres.tear_down.live_data import ClusterData, archives_of, judge_data
from aks_postgres.tear_down.node_group import WITH_INTERFACES, foreign_among_nodes, without_cluster
from aks_postgres.tear_down.second_look import hidden_claims

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CLUSTERS_CRD, BACKUPS_CRD = (f"{_DEFINITIONS}/{kind}.postgresql.cnpg.io" for kind in ("clusters", "backups"))
STORES_CRD = f"{_DEFINITIONS}/objectstores.barmancloud.cnpg.io"
SNAPSHOTS_CRD, CONTENTS_CRD = (
    f"{_DEFINITIONS}/{kind}.snapshot.storage.k8s.io" for kind in ("volumesnapshots", "volumesnapshotcontents")
)
_SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1"
# Packets from outside the authorized ranges are dropped after some seconds each; a person waits for this.
_REACH_TRIES = 3
_BE_LET_IN = (
    "Run from a worker whose address is among its authorized ranges (`aks-postgres provision` adds this one's), and "
    "start the cluster if it is stopped."
)


async def what_goes_along(
    azure: Azure,
    target: Target,
    backup_accounts: Sequence[BackupAccount],
    backup_age_min: int,
    *,
    node_groups: Iterable[str],
    going: Collection[str],
    lets_go: bool,
    tenant_id: str,
) -> tuple[list[Finding], list[Finding]]:
    """What goes with a generation's cluster: foreign things among its nodes, and data; also what keeps us from knowing.

    Args:
        target: the generation.
        backup_accounts: the storage accounts for backups.
        backup_age_min: how old the newest backup may be.
        node_groups: names of the node resource groups of all generations that go, this one's too.
        going: names of the groups that Azure is deleting.
        lets_go: whether the data may go.
        tenant_id: the subscription's tenant.
    """
    names = target.names
    clusters = azure.container_service.managed_clusters
    live = await read(f"AKS cluster {names.cluster}", clusters.get, names.resource_group, names.cluster)
    if live is not None and state_of(live).casefold() == "creating":
        cluster = gone_cluster(azure, target)  # it has no API server yet
        live = await with_retries(cluster.label, partial(settled_but_for_deletion, cluster))
    node_group = names.node_resource_group
    # Of a cluster that Azure is deleting, everything goes whatever is said here.
    if node_group.casefold() in going or (live is not None and is_being_deleted(live)):
        return [], []
    contents = await contents_of(azure, node_group)
    if live is None:
        return without_cluster(node_group, contents, names.cluster), []
    judge = partial(
        foreign_among_nodes,
        target.group_id(node_group),
        contents,
        live,
        ours=[target.resource_id(public_ip.KIND.type, names.public_ip, node_group)],
        linked=await _linked(azure, node_group, contents),
    )
    if lets_go and not judge(None):
        return [], []
    label = f"AKS cluster {names.cluster}"
    data, now, archives, unknown = None, None, {}, None
    accounts: dict[str, bool] = {}
    ways: dict[str, str] = {}
    if not lets_go:
        beside = [name for name in node_groups if name.casefold() != node_group.casefold()]
        others = await all_ended([contents_of(azure, name) for name in beside])
        among = [resource for each in (contents, *others) for resource in each]
        accounts, ways = await _blob_endpoints(azure, backup_accounts, among)
    if is_stopped(live):
        command = start_cluster_command(names.resource_group, names.cluster)
        unknown = Finding(f"{label} is stopped.", f"Start it ({command}).")
        loss = Finding(
            f"{label} is stopped, so whether it holds live data can't be known.", f"Start it ({command})."
        )
    else:
        try:
            async with kubernetes_api(azure, names.resource_group, names.cluster) as api:
                data, now = await _objects_of(api)
                if not lets_go:
                    wanted = archives_of(data, now=now, backup_age_min=backup_age_min, accounts=accounts)
                    archives = await read_archives(api, wanted, ways, tenant_id)
        except (ProvisioningError, ArmFault) as error:
            why = error.text if isinstance(error, PermanentError) else str(error)
            way_out = error.way_out if isinstance(error, PermanentError) else _BE_LET_IN
            unknown = Finding(f"the API server of {label} can't be asked ({why}).", way_out)
            loss = Finding(
                f"{label}: whether it holds live data can't be known, as its API server can't be asked ({why}).",
                way_out,
            )
    among_nodes = judge(data, unknown=unknown)
    if lets_go:
        return among_nodes, []
    if data is None or now is None:
        return among_nodes, [loss]
    return among_nodes, hidden_claims(contents, data.claims) + judge_data(
        data,
        now=now,
        backup_age_min=backup_age_min,
        node_group=node_group,
        accounts=accounts,
        archives=archives,
    )


async def _linked(azure: Azure, group: str, contents: Iterable[Json]) -> list[Json]:
    """Read the private endpoints and link services whole: a list doesn't show their network interfaces."""
    found = []
    for resource in contents:
        if operations := WITH_INTERFACES.get(str(resource["type"]).casefold()):
            get = getattr(azure.network, operations).get
            found.append(await read(f"{resource['type']} {resource['name']}", get, group, resource["name"]))
    return [live for live in found if live is not None]


async def _objects_of(api: KubernetesApi) -> tuple[ClusterData, datetime]:
    """The objects of a cluster that tell what goes with it, and its API server's time."""
    await _reach(api)
    found = await all_ended(
        [
            _everywhere(api, "/apis/postgresql.cnpg.io/v1/clusters", "Cluster", CLUSTERS_CRD),
            _everywhere(api, "/apis/postgresql.cnpg.io/v1/backups", "Backup", BACKUPS_CRD),
            _everywhere(api, "/apis/barmancloud.cnpg.io/v1/objectstores", "ObjectStore", STORES_CRD),
            _everywhere(api, "/api/v1/persistentvolumeclaims", "PersistentVolumeClaim"),
            _everywhere(api, "/api/v1/persistentvolumes", "PersistentVolume"),
            _everywhere(api, f"{_SNAPSHOTS}/volumesnapshots", "VolumeSnapshot", SNAPSHOTS_CRD),
            _everywhere(api, f"{_SNAPSHOTS}/volumesnapshotcontents", "VolumeSnapshotContent", CONTENTS_CRD),
            _everywhere(api, "/api/v1/services", "Service"),
            _everywhere(api, "/api/v1/nodes", "Node"),
        ]
    )
    if api.time is None:
        raise ArmFault(None, "NoDate", "its answers have no readable Date, so no age can be told")
    return ClusterData(*found), api.time


async def _blob_endpoints(
    azure: Azure, backup_accounts: Sequence[BackupAccount], among_nodes: Iterable[Json]
) -> tuple[dict[str, bool], dict[str, str]]:
    """The blob endpoints of the accounts that are there, whether each is to be deleted, and how each is reached.

    One among the nodes goes with them, whoever made it, and isn't read.
    """
    get = azure.storage.storage_accounts.get_properties
    found: dict[str, bool] = {}
    ways: dict[str, str] = {}
    for account in backup_accounts:
        live = await read(f"storage account {account.name}", get, account.group, account.name)
        # Also under its public name, which is what a backup would name.
        public = f"https://{account.name}.blob.{azure.facts.storage_suffix}/"
        found[public] = account.wanted or live is None
        if endpoint := (((live or {}).get("properties") or {}).get("primaryEndpoints") or {}).get("blob"):
            found[str(endpoint)] = account.wanted
            ways |= {public: str(endpoint), str(endpoint): str(endpoint)}
    for resource in among_nodes:
        if str(resource["type"]).casefold() == storage_account.KIND.type.casefold():
            found[f"https://{resource['name']}.blob.{azure.facts.storage_suffix}/"] = True
    return found, ways


async def _reach(api: KubernetesApi) -> None:
    fault: ArmFault | None = None

    async def answers() -> bool | None:
        nonlocal fault
        try:
            await api.request("GET", "/version")
        except ArmFault as found:
            fault = found
            return None
        return True

    try:
        await poll(answers, every_s=5, tries=_REACH_TRIES)
    except NotInTime:
        assert fault is not None
        raise fault from None


async def _everywhere(api: KubernetesApi, path: str, kind: str, definition: str | None = None) -> list[Json]:
    """The objects of all namespaces; of a kind whose definition the cluster doesn't have either, none."""
    found = await api.list_of(path, kind)
    if found is None and (definition is None or await api.get(definition) is not None):
        raise ArmFault(404, "NotFound", f"the API server doesn't list {path}")
    return found or []
