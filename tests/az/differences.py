"""Where the state that `provision` leaves differs from the one that the guide's commands leave, and why.

The first table is the whole list for one and the same spec: a difference that isn't in it, and an entry that no
difference matches, both fail `tests/az/test_parity.py`. The second is what our defaults change besides.
`docs/differences.md` is written from here by `python -m tests.az.documents`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class _Words:
    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return self.words


ABSENT = _Words("absent")
ANY = _Words("any value")


class Starts(str):
    """Text that begins so."""


@dataclass(frozen=True)
class Difference:
    """One property, or one resource, that differs.

    Args:
        types: resource types, in lower case; `*` is every type.
        path: the property, as fnmatch takes it; the empty path is the whole resource.
        ours: the value after `provision`, or how it begins, or ABSENT or ANY.
        guides: the value after the guide's commands.
        why: the reason.
        shown: how the documents write our value, where it isn't a constant.
    """

    types: tuple[str, ...]
    path: str
    ours: Any
    guides: Any
    why: str
    shown: tuple[str, str] | None = None


CLUSTER = "microsoft.containerservice/managedclusters"
POOL = "microsoft.containerservice/managedclusters/agentpools"
ROLE = "microsoft.authorization/roleassignments"
RULE_ASSOCIATION = "microsoft.insights/datacollectionruleassociations"

# The guide gives tags to the group, Grafana, the Azure Monitor workspace and the cluster only.
UNTAGGED = (
    "microsoft.managedidentity/userassignedidentities",
    "microsoft.storage/storageaccounts",
    "microsoft.operationalinsights/workspaces",
    "microsoft.insights/datacollectionendpoints",
    "microsoft.insights/datacollectionrules",
    "microsoft.alertsmanagement/prometheusrulegroups",
)
OURS = "A run finds what is its own by tag and computed name; there is no state file."

DIFFERENCES = (
    Difference(("*",), "tags.managed-by", "aks-postgres", ABSENT, OURS),
    Difference(("*",), "tags.aks-postgres-environment", "cnpg-canadacentral", ABSENT, OURS),
    Difference(("*",), "tags.aks-postgres-region", "canadacentral", ABSENT, OURS),
    Difference(
        ("microsoft.resources/resourcegroups",),
        "tags.aks-postgres-generation",
        "1",
        ABSENT,
        "A name that was deleted isn't free at once, so each new life of an environment has another suffix.",
    ),
    Difference(
        ("microsoft.resources/resourcegroups",),
        "tags.aks-postgres-state",
        "current",
        ABSENT,
        "An environment that isn't finished, or is being taken down, says so.",
    ),
    Difference(
        ("microsoft.resources/resourcegroups",),
        "tags.aks-postgres-version",
        ANY,
        ABSENT,
        "Which release made it; never compared.",
        shown=("the product's version", "absent"),
    ),
    Difference(
        ("microsoft.resources/resourcegroups",),
        "tags.aks-postgres-worker-address",
        "20.51.7.9",
        ABSENT,
        "An address that a run added to the authorized ranges is taken away again by a later one.",
        shown=("the worker's address", "absent"),
    ),
    Difference(
        UNTAGGED,
        "tags.owner",
        "user",
        ABSENT,
        "The spec's tags go on every resource that takes tags; the guide's on four.",
    ),
    Difference(
        (ROLE,),
        "",
        ABSENT,
        ANY,
        "The caller's Storage Blob Data Owner: the guide's way out where creating the container is refused. We create "
        "it through ARM, which needs no data role; `storage.blob_owners` gives it to whom you name.",
        shown=("absent", "Storage Blob Data Owner for the caller"),
    ),
    Difference(
        ("microsoft.storage/storageaccounts/blobservices/containers",),
        "",
        ANY,
        ABSENT,
        "The container `aks-postgres-lock` holds the blob whose lease lets one run write at a time.",
        shown=("present", "absent"),
    ),
    Difference(
        (CLUSTER,),
        "properties.kubernetesVersion",
        Starts("1.35."),
        "1.35",
        "Ours names the patch that the region had for 1.35, so that a control plane and its pools can be compared; az "
        "sends the alias and AKS picks the same.",
        shown=("the newest patch", "the minor"),
    ),
    Difference(
        (CLUSTER,),
        "properties.agentPoolProfiles.*.orchestratorVersion",
        Starts("1.35."),
        "1.35",
        "As above.",
        shown=("the newest patch", "the minor"),
    ),
    Difference(
        (POOL,),
        "properties.orchestratorVersion",
        Starts("1.35."),
        "1.35",
        "As above.",
        shown=("the newest patch", "the minor"),
    ),
    Difference(
        (CLUSTER,),
        "properties.agentPoolProfiles.*.nodeTaints",
        ABSENT,
        [],
        "az sends an empty list; leaving it out means the same.",
    ),
    Difference((POOL,), "properties.nodeTaints", ABSENT, [], "As above."),
    Difference(
        (CLUSTER,),
        "properties.linuxProfile",
        ABSENT,
        ANY,
        "`--generate-ssh-keys` leaves the private half on the worker, where it is lost. `cluster.ssh_public_key` sets "
        "one that you keep.",
        shown=("absent", "azureuser and a generated key"),
    ),
    Difference(
        (RULE_ASSOCIATION,),
        "properties.description",
        ANY,
        ANY,
        "Free text; az's is misspelt.",
        shown=("our words", "az's words"),
    ),
)

# What no two runs have alike: when it happened, and identifiers that are drawn.
EACH_RUN = (
    (ROLE, "id"),
    (ROLE, "name"),
    (ROLE, "properties.createdOn"),
    (ROLE, "properties.updatedOn"),
    (CLUSTER, "properties.oidcIssuerProfile.issuerURL"),
    (CLUSTER, "properties.linuxProfile.ssh.publicKeys"),
    # Another one after every write of the pool, and the two orders of writes touch it unlike often.
    (CLUSTER, "properties.agentPoolProfiles.*.eTag"),
    (POOL, "properties.eTag"),
    ("microsoft.operationalinsights/workspaces", "properties.createdDate"),
    ("microsoft.operationalinsights/workspaces", "properties.modifiedDate"),
    ("microsoft.operationalinsights/workspaces", "properties.sku.lastSkuUpdate"),
    ("microsoft.operationalinsights/workspaces", "properties.workspaceCapping.quotaNextResetTime"),
    ("microsoft.storage/storageaccounts", "properties.creationTime"),
    ("microsoft.storage/storageaccounts", "properties.encryption.services.*.lastEnabledTime"),
    # The sandbox's own port, or Azure's name through its proxy.
    ("microsoft.storage/storageaccounts", "properties.primaryEndpoints.*"),
    ("microsoft.dashboard/grafana", "properties.endpoint"),
    ("microsoft.storage/storageaccounts/blobservices/containers", "properties.lastModifiedTime"),
)


@dataclass(frozen=True)
class ByDefault:
    """What our default makes otherwise than the guide; the field brings the guide's way back where there is one.

    Args:
        what: the subject.
        guide: the guide's way.
        ours: our default.
        why: the reason.
        field: the spec's field, and `default` its value; empty where there is no choice.
        default: the field's default.
        to_match: the field's value that gives the guide's way; None where it no longer works.
    """

    what: str
    guide: str
    ours: str
    why: str
    field: str = ""
    default: Any = None
    to_match: Any = None


BY_DEFAULT = (
    ByDefault(
        "Kubernetes version",
        "1.29, in the later revision 1.32, at tier Standard",
        "the region's default if the operator supports it, else the newest that both support",
        "Both are out of standard support and can't be created at tier Standard "
        "([calendar](https://learn.microsoft.com/azure/aks/supported-kubernetes-versions)).",
        "cluster.kubernetes_version",
        None,
    ),
    ByDefault(
        "VM size of the system pool",
        "standard_d2s_v3, 2 vCPUs",
        "Standard_D4s_v5, 4 vCPUs",
        "AKS asks for 4 vCPUs and 4 GB at least "
        "([system pools](https://learn.microsoft.com/azure/aks/use-system-pools)).",
        "system_pool.vm_size",
        "Standard_D4s_v5",
    ),
    ByDefault(
        "VM size of the postgres pool",
        "standard_d4s_v3",
        "Standard_D4s_v5",
        "An old generation that many subscriptions can't get any more.",
        "postgres_pool.vm_size",
        "Standard_D4s_v5",
        "standard_d4s_v3",
    ),
    ByDefault(
        "Group of the storage account",
        "the environment's",
        "a group of its own, with a suffix that no rebuild changes",
        "Backups survive the environment that they are for.",
        "storage.backups",
        "own_group",
        "in_environment_group",
    ),
    ByDefault(
        "What Grafana's identity may read",
        "Monitoring Reader on the subscription",
        "on the environment's group and node group",
        "The role is broad, needs rights at the subscription, and a deleted group leaves it behind.",
        "monitoring.monitoring_reader_scope",
        "environment",
        "subscription",
    ),
    ByDefault(
        "Who may reach the API server",
        "one address, that of the workstation",
        "the ranges given, and the worker's address if none of them covers it",
        "A worker's address changes; after that the guide's cluster can't be reached.",
        "network.authorized_ip_ranges",
        [],
    ),
    ByDefault(
        "SSH key",
        "generated",
        "none",
        "Its private half would be lost with the worker.",
        "cluster.ssh_public_key",
        None,
    ),
    ByDefault(
        "Operator",
        "Helm chart (unpinned, `cnpg-cloudnative-pg`) or manifest 1.23.1 (`cnpg-controller-manager`)",
        "manifest 1.30.0, checked by its SHA-256 (`cnpg-controller-manager`), or a chart checked so",
        "The same operator every time, of a release that supports today's Kubernetes.",
        "operator.installer",
        "manifest",
        "helm",
    ),
    ByDefault(
        "Suffix of every name",
        "8 random characters",
        "computed from subscription, name, region and generation",
        "A second run finds what the first one made.",
        "suffix",
        None,
    ),
    ByDefault(
        "TLS floor, public blob access and HTTPS of the storage account",
        "left to the service",
        "TLS 1.2, no public access, HTTPS only: sent",
        "The service's defaults changed over the years. In the sandbox, whose defaults are today's, both end the same.",
    ),
    ByDefault(
        "Container",
        "through the blob endpoint, with a data role",
        "through ARM",
        "No data role for the caller, and no firewall in the way. Both end the same.",
    ),
    ByDefault(
        "Grafana's link to the Azure Monitor workspace",
        "`aks create` writes the whole instance back in an old API version",
        "one PATCH that keeps other links",
        "Settings that the old version doesn't know could be lost. Both end the same.",
    ),
    ByDefault(
        "Names of role assignments",
        "random GUIDs",
        "computed from scope, principal and role",
        "A second run, or a repeated request, can't assign twice.",
    ),
    ByDefault(
        "Providers",
        "not mentioned; `aks create` registers three of them and doesn't wait",
        "registered, with Microsoft.Dashboard, and waited for",
        "az's clients register what is missing by themselves, amid the work; the preflight does it first.",
    ),
    ByDefault(
        "Order of the last two writes to the cluster",
        "node pool, then Container insights",
        "Container insights, then node pool",
        "The agents get ready while the pool's nodes are being made, minutes earlier. Both end the same.",
    ),
    ByDefault(
        "Storage classes",
        "three choices; the manifests of two are no YAML as printed",
        "the first, which comes with AKS",
        "Nothing to create; the second line of those manifests is indented.",
    ),
    ByDefault(
        "Backups of a database",
        "in-tree Barman, `barmanObjectStore`",
        "the Barman Cloud plugin 0.14.0 and cert-manager 1.19.4, both checked by SHA-256",
        "The in-tree code is deprecated and announced to go with CloudNativePG 1.31.",
    ),
    ByDefault(
        "Image of PostgreSQL",
        "`18-system-trixie`, a moving tag with Barman inside",
        "`18.6-standard-trixie` from an ImageCatalog",
        "The same minor every time, and rolled out on purpose; the plugin brings Barman.",
    ),
    ByDefault(
        "Readiness of replicas",
        "`maximumLag: 0`",
        "no limit of lag",
        "A replica that lags a moment would leave the Services and the failover quorum.",
    ),
    ByDefault(
        "Failover quorum",
        "the annotation `alpha.cnpg.io/failoverQuorum`",
        "`postgresql.synchronous.failoverQuorum`",
        "The annotation is deprecated, and overrides the field.",
    ),
    ByDefault(
        "`switchoverDelay`",
        "unset, an hour",
        "120 s",
        "A shutdown waits for the archive; with a broken one, so does a failover.",
    ),
    ByDefault(
        "Where instances run",
        "another zone each",
        "another zone and another node each, required",
        "Two instances on one node go with it.",
    ),
    ByDefault(
        "Connections without TLS",
        "taken: the guide's `pg_hba` line is the default",
        "refused (`hostnossl ... reject`)",
        "A password and data would pass in the clear.",
    ),
    ByDefault(
        "Certificate of the public address",
        "doesn't name it",
        "`certificates.serverAltDNSNames`",
        "A client can ask for `sslmode=verify-full`.",
    ),
    ByDefault(
        "DNS label of the public address",
        "on everything that the Cluster makes (`inheritedMetadata`)",
        "on the load balancer's Services",
        "Other Services aren't of that address.",
    ),
    ByDefault(
        "Load balancers",
        "two Services with a selector of their own",
        "`managed.services.additional`: the operator owns the selector",
        "The guide's also select another cluster in the namespace, such as a restored copy.",
    ),
    ByDefault(
        "Secret of the owner",
        "Opaque",
        "`kubernetes.io/basic-auth`, with `cnpg.io/reload`",
        "The operator follows a changed password.",
    ),
    ByDefault(
        "Settings of the operator",
        "a ConfigMap in the database's namespace, `STANDBY_TCP_USER_TIMEOUT: 10`",
        "in the operator's namespace, 10000",
        "It is read nowhere else; the unit is milliseconds. With the Helm chart, `operator.chart_values` sets them.",
    ),
    ByDefault(
        "Memory of PostgreSQL",
        "`shared_buffers` 4 of 8 GB, `effective_cache_size` 12 GB",
        "a quarter and three quarters of the memory",
        "The cache can't be larger than the pod; half of it for buffers leaves little for connections.",
    ),
    ByDefault(
        "`max_slot_wal_keep_size`, `max_wal_size`",
        "10 GB and 6 GB, for any volume",
        "those, and less on a volume under 64 GiB",
        "WAL kept for a lost replica would fill a small volume.",
    ),
    ByDefault(
        "Base backups",
        "hourly, kept for 7 days",
        "daily at 02:15 UTC, and one at once",
        "168 full copies; CloudNativePG says that weekly is usually enough.",
    ),
    ByDefault(
        "Name that a cluster archives under",
        "the Cluster's",
        "`{cluster}-{generation}`",
        "A used archive is refused by the operator, and no later cluster overwrites it.",
    ),
    ByDefault(
        "Prometheus in the cluster",
        "kube-prometheus-stack, unpinned, and a PodMonitor for it",
        "managed Prometheus only",
        "One is enough, and the environment has that.",
    ),
)
