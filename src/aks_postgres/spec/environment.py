"""The spec of one environment: the only parameter a flow takes, and so the form in the Prefect UI.

Defaults are the guide's where the guide still works; `docs/explanation/guide.md` lists where they differ and why.
Every rule that can be judged without asking Azure is judged here, each under its field's name, all at once:
a rule over two fields is a validator of the later field, so that it runs whatever else is wrong.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator

from aks_postgres.spec.database import DatabaseSpec, database_problem, operator_problem
from aks_postgres.spec.ignore_changes import entry_problem
from aks_postgres.spec.model import DNS_LABEL, SPEC_CONFIG, at, no_secret

# The newest CloudNativePG release and the Kubernetes minors it supports, read 24 November 2026 from
# https://cloudnative-pg.io/documentation/current/supported_releases/ (1.30: end of life about December 2026).
OPERATOR_VERSION = "1.30.0"
# The same file as the release's, in the project's own git tree at a fixed commit, so that it can't change.
OPERATOR_MANIFEST_URL = (
    "https://raw.githubusercontent.com/cloudnative-pg/cloudnative-pg/"
    "a95a534dbe0854495b863bbc1b7651f74d310916/releases/cnpg-1.30.0.yaml"
)
OPERATOR_MANIFEST_SHA256 = "f8bede43fe4ee0d478c2355b204a36876b2ae4faac60f2a9452280b293da3b88"

# The Helm chart of that operator, read 24 November 2026. The checksum is the `digest` of the project's own index,
# https://cloudnative-pg.github.io/charts/index.yaml (entry cloudnative-pg 0.29.0, appVersion 1.30.0).
OPERATOR_CHART_VERSION = "0.29.0"
OPERATOR_CHART = (
    "https://github.com/cloudnative-pg/charts/releases/download/"
    "cloudnative-pg-v0.29.0/cloudnative-pg-0.29.0.tgz"
)
OPERATOR_CHART_SHA256 = "668e065ff53508d58238788fd35b355a925060843629a951df0e6a9362e6d32f"
# Names that the steps after the installation look for.
_FIXED_CHART_VALUES = {
    "fullnameOverride": "the deployment is looked for as cnpg-cloudnative-pg",
    "nameOverride": "the deployment is looked for as cnpg-cloudnative-pg",
    "namespaceOverride": "namespaces.operator says where the operator runs",
}

# AKS takes 200 ranges: https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges
MAX_AUTHORIZED_RANGES = 200
# ARM takes 50 tags a resource; eight are kept for ours.
MAX_TAGS = 42

_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_PREFIX = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_OBJECT_ID = r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
_SUBNET_ID = (
    r"^/subscriptions/[0-9a-fA-F-]{36}/[Rr]esource[Gg]roups/[A-Za-z0-9_.()-]{1,90}"
    r"/providers/[Mm]icrosoft\.[Nn]etwork/virtual[Nn]etworks/[A-Za-z0-9_.-]{1,80}/subnets/[A-Za-z0-9_.-]{1,80}$"
)
_VM_SIZE = r"^[Ss]tandard_[A-Za-z0-9_-]{1,40}$"

Zone = Literal["1", "2", "3"]


def as_one_guid(guid: str | None) -> str | None:
    """A GUID in lower case: Azure takes it either way, and what is computed from it has to be the same."""
    return guid.lower() if guid else guid


class SpecModel(BaseModel):
    """Refuses fields it doesn't know, checks defaults like given values, and never changes once made."""

    model_config = SPEC_CONFIG
    _no_secret = field_validator("*")(no_secret)


class Principal(SpecModel):
    """A person, group or application in Microsoft Entra ID that a role is given to."""

    object_id: Annotated[
        str,
        Field(
            pattern=_OBJECT_ID,
            description="Object ID in Microsoft Entra ID (a GUID).",
            json_schema_extra=at(0),
        ),
        AfterValidator(as_one_guid),
    ]
    type: Annotated[
        Literal["User", "Group", "ServicePrincipal"],
        Field(description="What the object ID names.", json_schema_extra=at(1)),
    ] = "User"


class NetworkSpec(SpecModel):
    """Who can reach the cluster's API server, and which network its nodes stand in."""

    authorized_ip_ranges: Annotated[
        list[str],
        Field(
            max_length=MAX_AUTHORIZED_RANGES - 1,
            description="IPv4 addresses or CIDR ranges that may reach the API server, for example "
            "20.51.0.0/24.",
            json_schema_extra=at(0),
        ),
    ] = []
    add_worker_address: Annotated[
        bool,
        Field(
            description="Add the egress address of the machine that runs this flow, if no range covers it.",
            json_schema_extra=at(1),
        ),
    ] = True
    worker_address: Annotated[
        str | None,
        Field(
            description="That address, where you know it. Unset: looked up (by URL if "
            "AKS_POSTGRES_EGRESS_URL is set, else by DNS at OpenDNS, as the guide does).",
            json_schema_extra=at(2),
        ),
    ] = None
    open_to_internet: Annotated[
        bool,
        Field(
            description="Put no limit on who can reach the API server. Excludes authorized_ip_ranges and "
            "worker_address.",
            json_schema_extra=at(3),
        ),
    ] = False

    subnet_id: Annotated[
        str | None,
        Field(
            pattern=_SUBNET_ID,
            description="Resource ID of a subnet of yours, in the environment's subscription and region, that both "
            "node pools stand in; it is never changed or deleted. The cluster's identity gets Network Contributor on "
            "it (roles). Unset: AKS makes a network for the cluster. For a new cluster only.",
            json_schema_extra=at(4),
        ),
    ] = None

    @field_validator("subnet_id")
    @classmethod
    def _short_names(cls, subnet_id: str | None) -> str | None:
        # They become labels of nodes: https://learn.microsoft.com/azure/aks/azure-cni-overlay
        for part in (subnet_id or "").split("/")[4::2]:
            if len(part) > 63:
                raise ValueError(
                    f"{part!r} has {len(part)} characters; with this cluster's networking, the names of subnet, "
                    "virtual network and resource group have at most 63"
                )
        return subnet_id

    @field_validator("authorized_ip_ranges")
    @classmethod
    def _global_ipv4(cls, ranges: list[str]) -> list[str]:
        problems = [problem for given in ranges if (problem := range_problem(given))]
        if problems:
            raise ValueError("; ".join(problems))
        networks = [ipaddress.ip_network(given) for given in ranges]
        if twice := {
            given for given, network in zip(ranges, networks, strict=True) if networks.count(network) > 1
        }:
            raise ValueError(f"each range once; given twice: {', '.join(sorted(twice))}")
        return ranges

    @field_validator("worker_address")
    @classmethod
    def _one_address(cls, address: str | None, info: ValidationInfo) -> str | None:
        if address is None:
            return None
        if "/" in address or (problem := range_problem(address)):
            raise ValueError(
                problem if "/" not in address else f"{address!r} is a range; give one IPv4 address"
            )
        if info.data.get("add_worker_address") is False:
            raise ValueError("it contradicts add_worker_address: false; leave one of the two out")
        return address

    @field_validator("open_to_internet")
    @classmethod
    def _open_or_limited(cls, is_open: bool, info: ValidationInfo) -> bool:
        ranges, add_worker = info.data.get("authorized_ip_ranges"), info.data.get("add_worker_address")
        for limit in ("authorized_ip_ranges", "worker_address"):
            if is_open and info.data.get(limit):
                raise ValueError(f"it contradicts {limit}; leave one of the two out")
        if not is_open and ranges == [] and add_worker is False:
            raise ValueError(
                "no authorized range at all would open the API server to everyone; give "
                "authorized_ip_ranges, or say open_to_internet: true"
            )
        return is_open


def range_problem(given: str) -> str | None:
    """Return why AKS wouldn't take `given` as an authorized range, or None if it would.

    AKS and az take IPv4 only, and az refuses what isn't globally routable.
    """
    if not re.fullmatch(r"[0-9.]+(/(0|[1-9][0-9]?))?", given) and ":" not in given:
        # Python also takes netmasks (/255.255.255.0) and zeros in front (/024); AKS doesn't.
        return f"{given!r} is no IPv4 address or CIDR range such as 20.51.0.0/24"
    try:
        network = ipaddress.ip_network(given)
    except ValueError:
        try:
            whole = ipaddress.ip_network(given, strict=False)
        except ValueError:
            return f"{given!r} is no IPv4 address or CIDR range such as 20.51.0.0/24"
        return f"{given!r} has bits set behind its prefix; the range is {whole}"
    if network.version != 4:
        return f"{given!r} is IPv6; AKS takes IPv4 only"
    if network.prefixlen == 0:
        return f"{given!r} is the whole internet; say open_to_internet: true instead"
    if not network.is_global or network.is_multicast:
        return f"{given!r} isn't globally routable; the API server sees your public egress address"
    return None


class ClusterSpec(SpecModel):
    """The AKS cluster."""

    kubernetes_version: Annotated[
        str | None,
        Field(
            pattern=r"^[0-9]{1,2}\.[0-9]{1,2}(\.[0-9]{1,3})?$",
            description="Kubernetes version, 1.35 (newest patch) or 1.35.2. Unset: a live cluster keeps its "
            "own; a new one takes the region's default if the operator supports it, else the newest that "
            "both support.",
            json_schema_extra=at(0),
        ),
    ] = None
    tier: Annotated[
        Literal["Free", "Standard", "Premium"],
        Field(
            description="AKS pricing tier. Versions in long-term support only need Premium.",
            json_schema_extra=at(1),
        ),
    ] = "Standard"
    ssh_public_key: Annotated[
        str | None,
        Field(
            pattern=r"^(ssh-rsa|ssh-ed25519) [A-Za-z0-9+/=]+( [^\r\n]*)?$",
            description="SSH public key for the nodes' user azureuser. Unset: no SSH access to nodes.",
            json_schema_extra=at(2),
        ),
    ] = None
    if_stopped: Annotated[
        Literal["refuse", "start"],
        Field(
            description="What to do about a cluster, or one of its two node pools, that somebody stopped: refuse, "
            "naming the command that starts it, or start it and go on.",
            json_schema_extra=at(3),
        ),
    ] = "refuse"
    access: Annotated[
        Literal["local_accounts", "entra"],
        Field(
            description="Who gets into the cluster. local_accounts: whoever may list its credentials, as in the guide. "
            "entra: identities of Microsoft Entra ID with an Azure role for Kubernetes, and local accounts are off; "
            "the run's own identity needs Azure Kubernetes Service RBAC Cluster Admin, given beforehand. Can't be "
            "undone: with local_accounts, a cluster that has Entra keeps it.",
            json_schema_extra=at(4),
        ),
    ] = "local_accounts"

    @field_validator("ssh_public_key")
    @classmethod
    def _whole_key(cls, key: str | None) -> str | None:
        if key is not None:
            kind, data = key.split(" ")[:2]
            try:
                decoded = base64.b64decode(data, validate=True)
            except binascii.Error:
                decoded = b""
            # A key's data says its type once more, after the type's length (RFC 4253, section 6.6).
            if not decoded.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
                raise ValueError(f"it is no whole {kind} key; give the line of the .pub file")
        return key


class NodePoolSpec(SpecModel):
    """A node pool; counts are nodes over all zones, held between min and max by the cluster autoscaler."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9]{0,11}$",
            description="Lower-case letters and digits, at most 12.",
            json_schema_extra=at(0),
        ),
    ]
    vm_size: Annotated[
        str, Field(pattern=_VM_SIZE, description="VM size of the nodes.", json_schema_extra=at(1))
    ] = "Standard_D4s_v5"
    min_count: Annotated[int, Field(ge=1, le=1000, description="Fewest nodes.", json_schema_extra=at(2))]
    max_count: Annotated[int, Field(ge=1, le=1000, description="Most nodes.", json_schema_extra=at(3))]
    zones: Annotated[
        list[Zone],
        Field(
            min_length=1,
            max_length=3,
            description="Availability zones the nodes are spread over; can't be changed later.",
            json_schema_extra=at(4),
        ),
    ] = ["1", "2", "3"]
    labels: Annotated[
        dict[str, str],
        Field(max_length=100, description="Kubernetes labels of the nodes.", json_schema_extra=at(5)),
    ] = {}

    @field_validator("min_count", "max_count", mode="before")
    @classmethod
    def _a_number(cls, count: object) -> object:
        if isinstance(count, bool):  # which Python would count as 0 or 1, and which YAML's yes and no are
            raise ValueError("a number of nodes is expected")
        return count

    @field_validator("max_count")
    @classmethod
    def _max_not_below_min(cls, max_count: int, info: ValidationInfo) -> int:
        min_count = info.data.get("min_count")
        if min_count is not None and max_count < min_count:
            raise ValueError(f"must be at least min_count, which is {min_count}")
        return max_count

    @field_validator("zones")
    @classmethod
    def _each_zone_once(cls, zones: list[Zone]) -> list[Zone]:
        if len(set(zones)) < len(zones):
            raise ValueError("each zone once")
        return sorted(zones)

    @field_validator("labels")
    @classmethod
    def _kubernetes_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        problems = [problem for key, value in labels.items() if (problem := label_problem(key, value))]
        if problems:
            raise ValueError("; ".join(problems))
        return labels

    @property
    def first_count(self) -> int:
        """Nodes at creation: one a zone where the range allows it, so that every zone starts with one."""
        return max(self.min_count, min(self.max_count, len(self.zones)))


def label_problem(key: str, value: str) -> str | None:
    """Return why Kubernetes or AKS wouldn't take this node label, or None if they would."""
    prefix, slash, name = key.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (slash and not _LABEL_PREFIX.fullmatch(prefix)):
        return f"{key!r} is no label key: [dns-prefix/]name, at most 63 letters, digits, '-', '_', '.'"
    if prefix == "kubernetes.azure.com" or prefix.endswith(".kubernetes.azure.com"):
        return f"{key!r}: AKS keeps the prefix kubernetes.azure.com for itself"
    if value and not _LABEL_NAME.fullmatch(value):
        return f"{key}={value!r} is no label value: at most 63 letters, digits, '-', '_', '.'"
    return None


class SystemPoolSpec(NodePoolSpec):
    """The node pool that runs the cluster's own pods (2 to 3 nodes of at least 4 vCPUs)."""

    name: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9]{0,11}$", description="Name of the pool.", json_schema_extra=at(0))
    ] = "systempool"
    min_count: Annotated[int, Field(ge=1, le=1000, description="Fewest nodes.", json_schema_extra=at(2))] = 2
    max_count: Annotated[int, Field(ge=1, le=1000, description="Most nodes.", json_schema_extra=at(3))] = 3


class PostgresPoolSpec(NodePoolSpec):
    """The node pool that runs PostgreSQL (3 to 6 nodes, labelled workload=postgres)."""

    name: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9]{0,11}$", description="Name of the pool.", json_schema_extra=at(0))
    ] = "postgres"
    min_count: Annotated[int, Field(ge=1, le=1000, description="Fewest nodes.", json_schema_extra=at(2))] = 3
    max_count: Annotated[int, Field(ge=1, le=1000, description="Most nodes.", json_schema_extra=at(3))] = 6
    labels: Annotated[
        dict[str, str],
        Field(max_length=100, description="Kubernetes labels of the nodes.", json_schema_extra=at(5)),
    ] = {"workload": "postgres"}


class StorageSpec(SpecModel):
    """The storage account that keeps PostgreSQL backups."""

    sku: Annotated[
        Literal[
            "Standard_LRS",
            "Standard_ZRS",
            "Standard_GRS",
            "Standard_GZRS",
            "Standard_RAGRS",
            "Standard_RAGZRS",
        ],
        Field(
            description="Redundancy of the account. ZRS keeps a copy in each zone; GZRS one in a second region, too, "
            "for about twice the price (a plan shows it where it is known). An account that is there is converted in "
            "the portal.",
            json_schema_extra=at(0),
        ),
    ] = "Standard_ZRS"
    container: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9](-?[a-z0-9])*$",
            min_length=3,
            max_length=63,
            description="Blob container for backups: 3 to 63 lower-case letters, digits and single dashes.",
            json_schema_extra=at(1),
        ),
    ] = "backups"
    backups: Annotated[
        Literal["own_group", "in_environment_group"],
        Field(
            description="own_group: the account lives in a resource group that tear-down and rebuild never "
            "touch. in_environment_group: in the environment's group, as in the guide, which then stays behind.",
            json_schema_extra=at(2),
        ),
    ] = "own_group"
    blob_owners: Annotated[
        list[Principal],
        Field(
            max_length=50,
            description="Who gets Storage Blob Data Owner on the account (the guide's optional step).",
            json_schema_extra=at(3),
        ),
    ] = []
    identity: Annotated[
        Literal["shared", "separate"],
        Field(
            description="Which managed identity may write backups. shared: the cluster's, as in the guide. separate: "
            "one of its own, so that who takes over a database gets no rights on the cluster's node group. "
            "Changing it takes a rebuild.",
            json_schema_extra=at(4),
        ),
    ] = "shared"
    soft_delete_days: Annotated[
        int,
        Field(
            ge=1,
            le=365,
            description="How many days Azure keeps deleted backups and containers (1 to 365). Overwritten and deleted "
            "blobs stay as previous versions for as many days besides, and cost meanwhile. A longer retention, or a "
            "lifecycle rule of yours for versions, that is set on the account stays.",
            json_schema_extra=at(5),
        ),
    ] = 14
    shared_keys: Annotated[
        Literal["allowed", "denied"],
        Field(
            description="denied: the account takes no shared key, only identities with a role; nothing of ours uses a "
            "key. allowed: not written, so Azure's or a policy's value stays.",
            json_schema_extra=at(7),
        ),
    ] = "allowed"
    public_network_access: Annotated[
        Literal["enabled", "disabled"],
        Field(
            description="disabled: blobs are reached through private endpoints only, which you make; without one, "
            "backups fail. enabled: not written, so Azure's or a policy's value stays.",
            json_schema_extra=at(8),
        ),
    ] = "enabled"
    immutability_days: Annotated[
        int | None,
        Field(
            ge=1,
            le=146_000,
            description="How many days no version of a backup can be changed or deleted (1 to 146000). None: no such "
            "policy. It is unlocked; locking it is yours to do, and can't be undone. Versions cost for as long, and "
            "the account can't be deleted with any in it. For a new container only.",
            json_schema_extra=at(6),
        ),
    ] = None


class MonitoringSpec(SpecModel):
    """Managed Grafana, managed Prometheus and Container insights."""

    grafana_zone_redundancy: Annotated[
        bool,
        Field(
            description="Spread Grafana over zones; only some regions can, and it can't be changed later.",
            json_schema_extra=at(0),
        ),
    ] = True
    grafana_admins: Annotated[
        list[Principal],
        Field(
            max_length=50,
            description="Who gets Grafana Admin. Empty: the identity that runs the flow.",
            json_schema_extra=at(1),
        ),
    ] = []
    monitoring_reader_scope: Annotated[
        Literal["environment", "subscription"],
        Field(
            description="What Grafana's identity may read metrics of: this environment's resource groups, or "
            "the whole subscription as in the guide.",
            json_schema_extra=at(2),
        ),
    ] = "environment"
    grafana_public_network_access: Annotated[
        Literal["enabled", "disabled"],
        Field(
            description="Whether Grafana is reached from the internet, behind Microsoft Entra ID; disabled: through "
            "private endpoints only, which you make.",
            json_schema_extra=at(4),
        ),
    ] = "enabled"
    log_retention_days: Annotated[
        int,
        Field(
            ge=30,
            le=730,
            description="Days that the Log Analytics workspace keeps logs.",
            json_schema_extra=at(3),
        ),
    ] = 30


class NamespacesSpec(SpecModel):
    """The two Kubernetes namespaces."""

    database: Annotated[
        str,
        Field(pattern=DNS_LABEL, description="Namespace of the Postgres cluster.", json_schema_extra=at(0)),
    ] = "cnpg-database"
    operator: Annotated[
        str,
        Field(pattern=DNS_LABEL, description="Namespace of the operator.", json_schema_extra=at(1)),
    ] = "cnpg-system"

    @field_validator("database", "operator")
    @classmethod
    def _not_kubernetes_own(cls, namespace: str) -> str:
        if namespace.startswith("kube-") or namespace == "default":
            raise ValueError(f"{namespace!r} belongs to Kubernetes; choose another namespace")
        return namespace

    @field_validator("operator")
    @classmethod
    def _two_namespaces(cls, operator: str, info: ValidationInfo) -> str:
        if operator == info.data.get("database"):
            raise ValueError(f"must differ from namespaces.database, which is {operator!r} too")
        return operator


class OperatorSpec(SpecModel):
    """The CloudNativePG operator: a pinned release manifest or Helm chart, checked by its checksum."""

    version: Annotated[
        str,
        Field(
            pattern=r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$",
            description="CloudNativePG version.",
            json_schema_extra=at(0),
        ),
    ] = OPERATOR_VERSION
    # Before the fields of either way, whose rules ask for it; in the form it stands between them.
    installer: Annotated[
        Literal["manifest", "helm"],
        Field(
            description="How the operator is installed: manifest applies manifest_url; helm installs chart, and "
            "needs aks-postgres[helm] on the worker. Can't be changed on a cluster that has an operator.",
            json_schema_extra=at(3),
        ),
    ] = "manifest"
    manifest_url: Annotated[
        str,
        Field(
            pattern=r"^(https://|/|\./).+",
            description="Release manifest of that version: an https URL, or a path on the worker.",
            json_schema_extra=at(1),
        ),
    ] = OPERATOR_MANIFEST_URL
    manifest_sha256: Annotated[
        str,
        Field(
            pattern=r"^[0-9a-f]{64}$",
            description="SHA-256 of the manifest's bytes; another checksum is refused.",
            json_schema_extra=at(2),
        ),
    ] = OPERATOR_MANIFEST_SHA256
    chart: Annotated[
        str,
        Field(
            pattern=r"^(https://|/|\./).+",
            description="The Helm chart cloudnative-pg as a .tgz: an https URL, or a path on the worker.",
            json_schema_extra=at(4),
        ),
    ] = OPERATOR_CHART
    chart_version: Annotated[
        str,
        Field(
            pattern=r"^[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$",
            description="Version of the chart, which is another than CloudNativePG's; a chart with another one "
            "is refused.",
            json_schema_extra=at(5),
        ),
    ] = OPERATOR_CHART_VERSION
    chart_sha256: Annotated[
        str,
        Field(
            pattern=r"^[0-9a-f]{64}$",
            description="SHA-256 of the chart's .tgz (sha256sum says it, and the digest in the chart repository's "
            "index.yaml); another checksum is refused.",
            json_schema_extra=at(6),
        ),
    ] = OPERATOR_CHART_SHA256
    chart_values: Annotated[
        dict[str, Any],
        Field(
            description="Helm values over the chart's own, such as config.data for the operator's settings. Not "
            "for secrets.",
            json_schema_extra=at(7),
        ),
    ] = {}

    @field_validator(
        "manifest_url", "manifest_sha256", "chart", "chart_version", "chart_sha256", "chart_values"
    )
    @classmethod
    def _of_that_installer(cls, given: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        wanted, installer = "manifest" if name.startswith("manifest") else "helm", info.data.get("installer")
        if installer not in (None, wanted) and given != cls.model_fields[name].default:
            raise ValueError(
                f"it is for installer: {wanted} and contradicts installer: {installer}; leave it out"
            )
        return given

    @field_validator("manifest_sha256")
    @classmethod
    def _manifest_of_that_version(cls, sha256: str, info: ValidationInfo) -> str:
        version = info.data.get("version", OPERATOR_VERSION)
        is_used = info.data.get("installer") == "manifest"
        if is_used and sha256 == OPERATOR_MANIFEST_SHA256 and version != OPERATOR_VERSION:
            raise ValueError(
                f"is the checksum of version {OPERATOR_VERSION} and contradicts version {version}; give "
                f"manifest_url and manifest_sha256 of {version}"
            )
        return sha256

    @field_validator("chart_sha256")
    @classmethod
    def _chart_of_that_version(cls, sha256: str, info: ValidationInfo) -> str:
        version = info.data.get("version", OPERATOR_VERSION)
        chart_version = info.data.get("chart_version", OPERATOR_CHART_VERSION)
        if info.data.get("installer") != "helm" or sha256 != OPERATOR_CHART_SHA256:
            return sha256
        if version != OPERATOR_VERSION:
            raise ValueError(
                f"is the checksum of a chart for version {OPERATOR_VERSION} and contradicts version {version}; "
                f"give chart, chart_version and chart_sha256 of {version}"
            )
        if chart_version != OPERATOR_CHART_VERSION:
            raise ValueError(
                f"is the checksum of chart {OPERATOR_CHART_VERSION} and contradicts chart_version "
                f"{chart_version}; give chart and chart_sha256 of {chart_version}"
            )
        return sha256

    @field_validator("chart_values")
    @classmethod
    def _helm_values(cls, values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        try:
            values = json.loads(json.dumps(values, allow_nan=False))  # as Helm will give them back
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"Helm takes what JSON can hold: {error}") from None
        problems = [f"leave {key} out: {why}" for key, why in _FIXED_CHART_VALUES.items() if values.get(key)]
        version, image = info.data.get("version"), values.get("image")
        tag = image.get("tag") if isinstance(image, dict) else None
        # A tag may go on with a digest, 1.30.0@sha256:..., or a flavour, 1.30.0-ubi9.
        if version and tag and not re.match(rf"{re.escape(version)}(?![0-9.])", str(tag)):
            problems.append(f"image.tag {tag} contradicts version {version}")
        if problems:
            raise ValueError("; ".join(problems))
        return values


class EnvironmentSpec(SpecModel):
    """One highly available PostgreSQL environment on AKS."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9]{1,5}$",
            description="Short name, 2 to 6 lower-case letters and digits, letter first. It is part of every "
            "resource name; with subscription and region it says which environment this is.",
            json_schema_extra=at(0),
        ),
    ] = "cnpg"
    region: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9]{2,29}$",
            description="Azure region, such as canadacentral or westus3.",
            json_schema_extra=at(1),
        ),
    ] = "canadacentral"
    subscription_id: Annotated[
        str | None,
        Field(
            pattern=_OBJECT_ID,
            description="Azure subscription (a GUID). Unset: the worker's AZURE_SUBSCRIPTION_ID.",
            json_schema_extra=at(2),
        ),
        AfterValidator(as_one_guid),
    ] = None
    suffix: Annotated[
        str | None,
        Field(
            pattern=r"^[a-z0-9]{8}$",
            description="What the 8 characters at the end of every name are computed from, in place of "
            "subscription, name and region. The generation is always counted in.",
            json_schema_extra=at(3),
        ),
    ] = None
    tags: Annotated[
        dict[str, str],
        Field(
            max_length=MAX_TAGS,
            description="Tags for every resource that takes tags.",
            json_schema_extra=at(4),
        ),
    ] = {"owner": "user"}
    adopt: Annotated[
        list[str],
        Field(
            max_length=2,
            description="Type the names of existing resource groups without this product's tags to let this "
            "environment take them over: its own group, the backups' or both.",
            json_schema_extra=at(5),
        ),
    ] = []
    network: Annotated[NetworkSpec, Field(json_schema_extra=at(6))] = NetworkSpec()
    cluster: Annotated[ClusterSpec, Field(json_schema_extra=at(7))] = ClusterSpec()
    system_pool: Annotated[SystemPoolSpec, Field(json_schema_extra=at(8))] = SystemPoolSpec()
    postgres_pool: Annotated[PostgresPoolSpec, Field(json_schema_extra=at(9))] = PostgresPoolSpec()
    storage: Annotated[StorageSpec, Field(json_schema_extra=at(10))] = StorageSpec()
    monitoring: Annotated[MonitoringSpec, Field(json_schema_extra=at(11))] = MonitoringSpec()
    namespaces: Annotated[NamespacesSpec, Field(json_schema_extra=at(12))] = NamespacesSpec()
    operator: Annotated[OperatorSpec, Field(json_schema_extra=at(13))] = OperatorSpec()
    cluster_requests: Annotated[
        Literal["step_by_step", "single"],
        Field(
            description="How a new cluster reaches its final shape. step_by_step: created, metrics on, node pool, "
            "add-on, each a write of its own, as in the guide. single: all of it in the first write, some minutes "
            "faster; the same in the end. A cluster that exists is never made anew.",
            json_schema_extra=at(14),
        ),
    ] = "step_by_step"
    ignore_changes: Annotated[
        list[str],
        Field(
            max_length=100,
            description="Fields of what is there that are neither compared nor written, each as <resource>.<field> in "
            "the words of plan, such as Managed Grafana.properties.publicNetworkAccess, or *.tags.owner for every "
            "resource. What is made anew still gets them.",
            json_schema_extra=at(15),
        ),
    ] = []
    database: Annotated[
        DatabaseSpec | None,
        Field(
            description="The PostgreSQL cluster itself, with its backups. Unset: the environment is made without one.",
            json_schema_extra=at(16),
        ),
    ] = None

    roles: Annotated[
        Literal["create", "verify"],
        Field(
            description="create: the run assigns the roles that identities, Grafana and people need. verify: it "
            "assigns and removes none, and ends with one list of az commands for those missing; one given at a "
            "higher scope or through a group counts.",
            json_schema_extra=at(17),
        ),
    ] = "create"

    @field_validator("adopt", mode="before")
    @classmethod
    def _one_or_several(cls, groups: object) -> object:
        if groups is None:
            return []
        return [groups] if isinstance(groups, str) else groups

    @field_validator("adopt")
    @classmethod
    def _group_names(cls, groups: list[str]) -> list[str]:
        # Char.IsLetterOrDigit: https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
        # A pattern's \w takes more than that: joiners and marks, which nobody sees.
        for group in groups:
            if (
                not 1 <= len(group) <= 90
                or group.endswith(".")
                or not all(sign in "-_.()" or sign.isalpha() or sign.isdecimal() for sign in group)
            ):
                raise ValueError(
                    f"{group!r}: a resource group's name is 1 to 90 letters, digits, - _ . ( and ), and doesn't "
                    "end with a period"
                )
        # Azure compares them without case, and the names that they can be are in lower case.
        return [group.lower() for group in groups]

    @field_validator("region", mode="before")
    @classmethod
    def _region_as_azure_writes_it(cls, region: object) -> object:
        # Before it is written another way, and looks like no secret any more.
        return no_secret(region).replace(" ", "").lower() if isinstance(region, str) else region

    @field_validator("tags")
    @classmethod
    def _azure_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        problems = [problem for key, value in tags.items() if (problem := tag_problem(key, value))]
        folded = [key.casefold() for key in tags]
        problems += [
            f"{key!r} twice: tag names don't differ by case"
            for key in tags
            if folded.count(key.casefold()) > 1
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return tags

    @field_validator("ignore_changes")
    @classmethod
    def _fields_of_ours(cls, entries: list[str], info: ValidationInfo) -> list[str]:
        if {"tags", "network", "system_pool", "postgres_pool"} <= info.data.keys():
            spec = cls.model_construct(**info.data)
            if problems := [problem for entry in entries if (problem := entry_problem(entry, spec))]:
                raise ValueError("; ".join(problems))
        return entries

    @field_validator("database")
    @classmethod
    def _fits_its_nodes(cls, database: DatabaseSpec | None, info: ValidationInfo) -> DatabaseSpec | None:
        pool: PostgresPoolSpec | None = info.data.get("postgres_pool")
        if database is not None and pool is not None:
            problem = database_problem(database, most_nodes=pool.max_count, zones=len(pool.zones))
            if problem:
                raise ValueError(problem)
        operator: OperatorSpec | None = info.data.get("operator")
        if database is not None and operator is not None and (problem := operator_problem(operator.version)):
            raise ValueError(problem)
        return database

    @field_validator("postgres_pool")
    @classmethod
    def _pool_of_its_own(cls, pool: PostgresPoolSpec, info: ValidationInfo) -> PostgresPoolSpec:
        system: SystemPoolSpec | None = info.data.get("system_pool")
        if system is not None and system.name == pool.name:
            raise ValueError(f"name must differ from system_pool.name, which is {system.name!r} too")
        return pool


def tag_problem(key: str, value: str) -> str | None:
    """Return why Azure wouldn't take this tag, or why we keep it for ourselves; None if it is fine.

    https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources (storage: 128 a name)
    """
    if not 1 <= len(key) <= 128:
        return f"tag name {key[:20]!r}... has {len(key)} characters; 1 to 128 are allowed"
    if re.search("[\ud800-\udfff]", key + value):
        return f"tag {key!r} holds half a surrogate pair, which no encoding can carry"
    if len(value) > 256:
        return f"tag {key!r} has a value of {len(value)} characters; at most 256 are allowed"
    if found := set(key) & set("<>%&\\?/"):
        return f"tag name {key!r} holds {''.join(sorted(found))!r}; <>%&\\?/ aren't allowed"
    if key.casefold().startswith(("microsoft", "azure", "windows")):
        return f"tag name {key!r} starts with a prefix that Azure keeps (microsoft, azure, windows)"
    if key.casefold() == "managed-by" or key.casefold().startswith("aks-postgres"):
        return f"tag name {key!r} is one of ours; choose another"
    return None
