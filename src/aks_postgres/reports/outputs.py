"""What the steps report back: resource IDs, endpoints, and the change each step made. Never a secret."""

from __future__ import annotations

import functools
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, create_model, field_validator

from aks_postgres.foreign_text import shown_inside
from aks_postgres.spec import clouds
from aks_postgres.spec.names import Names

_LONGEST = 72


class Outputs(BaseModel):
    """Frozen data that a step returns."""

    model_config = ConfigDict(frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _shown(cls, value: Any) -> Any:
        return shown_inside(value)


def value_text(value: Any) -> str:
    """A value as YAML would say it, in one line; what is long is cut."""
    if value is None or value == "":
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return ", ".join(map(value_text, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}={value_text(inner)}" for key, inner in value.items()) or "none"
    text = str(value).rsplit("/", 1)[-1] if str(value).startswith("/subscriptions/") else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


class FieldChange(Outputs):
    """A field that differed: its path in ARM's words, the value before and the value now."""

    field: str
    old: Any
    new: Any

    def __str__(self) -> str:
        old, new = value_text(self.old), value_text(self.new)
        if old == new:  # but for what is cut
            old, new = str(self.old), str(self.new)
        return f"{self.field}: {old} -> {new}"


class Change(Outputs):
    """What a step did to its resource."""

    kind: Literal["created", "updated", "unchanged"]
    fields: tuple[FieldChange, ...] = ()

    def __str__(self) -> str:
        if not self.fields:
            return self.kind
        return f"{self.kind} ({'; '.join(map(str, self.fields))})"

    def then(self, later: Change) -> Change:
        """This change and a later one of the same resource as one."""
        if later.kind == "unchanged":
            return self
        return later.model_copy(update={"fields": self.fields + later.fields})


UNCHANGED = Change(kind="unchanged")
CREATED = Change(kind="created")


class Target(Outputs):
    """One generation of the environment: its names, and the IDs that follow from them."""

    subscription_id: str
    generation: int
    names: Names
    storage_suffix: str = clouds.STORAGE_SUFFIX
    """DNS suffix of the cloud's storage."""
    dns_suffix: str = clouds.DNS_SUFFIX
    """What names of public IP addresses end in."""

    def group_id(self, group: str) -> str:
        """Resource ID of a resource group of this subscription."""
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{group}"

    def resource_id(self, kind: str, name: str, group: str | None = None) -> str:
        """Resource ID of `name` of type `kind` (Provider/type) in `group`, by default the environment's."""
        return f"{self.group_id(group or self.names.resource_group)}/providers/{kind}/{name}"


class CheckedTarget(Target):
    """A target as the preflight found it: who writes to it, and what is resolved of the spec."""

    subscription_name: str
    tenant_id: str
    caller_object_id: str
    caller_type: Literal["User", "ServicePrincipal"]
    kubernetes_version: str
    authorized_ip_ranges: tuple[str, ...]
    worker_address: str | None
    missing_providers: tuple[str, ...]
    warnings: tuple[str, ...]


class StepOutputs(Outputs):
    """What a step did; most steps report more."""

    change: Change


class Planned:
    """Outputs of what a plan would create: what the spec says is known, and what only Azure knows isn't."""


S = TypeVar("S", bound=StepOutputs)


@functools.cache
def _planned_type(kind: type[StepOutputs]) -> type[StepOutputs]:
    return create_model(f"Planned{kind.__name__}", __base__=(Planned, kind))  # type: ignore[arg-type]


def planned_outputs(outputs: S) -> S:
    """The same outputs, as `Planned`. Only the step's decorator calls it."""
    return cast("S", _planned_type(type(outputs)).model_construct(**dict(outputs)))


class ProvidersOutputs(StepOutputs):
    """Resource providers registered by this run."""

    registered: tuple[str, ...]


class ResourceOutputs(StepOutputs):
    """A resource by its ID and name."""

    id: str
    name: str


class IdentityOutputs(ResourceOutputs):
    """A user-assigned managed identity: the cluster's, or the one that may write backups."""

    principal_id: str
    client_id: str


class StorageAccountOutputs(ResourceOutputs):
    """The backup account; `blob_endpoint` is an https URL with a trailing slash."""

    resource_group: str
    blob_endpoint: str


class RoleOutputs(StepOutputs):
    """Role assignments by their resource IDs; `missing` are the az commands for those that this run may not make."""

    ids: tuple[str, ...]
    missing: tuple[str, ...] = ()


class MonitorWorkspaceOutputs(ResourceOutputs):
    """The Azure Monitor workspace (managed Prometheus)."""

    location: str
    query_endpoint: str
    account_id: str = ""


class LogWorkspaceOutputs(ResourceOutputs):
    """The Log Analytics workspace."""

    location: str
    customer_id: str = ""


class EndpointOutputs(ResourceOutputs):
    """A data collection endpoint."""


class RuleOutputs(ResourceOutputs):
    """A data collection rule."""


class GrafanaOutputs(ResourceOutputs):
    """Managed Grafana; `endpoint` is an https URL."""

    endpoint: str
    principal_id: str


class DashboardOutputs(StepOutputs):
    """A dashboard's page in Grafana; without one, why there is none."""

    url: str | None
    why: str = ""


class ClusterRequestOutputs(ResourceOutputs):
    """The write that makes the whole cluster; once Azure has taken it, the URL may tell of its operation."""

    is_sent: bool
    operation_url: str | None


class ClusterOutputs(ResourceOutputs):
    """The AKS cluster."""

    resource_group: str
    node_resource_group: str
    node_resource_group_id: str
    kubernetes_version: str
    fqdn: str
    oidc_issuer_url: str
    portal_url: str


class NodePoolOutputs(ResourceOutputs):
    """A node pool; `count` is nodes over all zones right now."""

    count: int
    kubernetes_version: str
    zones: tuple[str, ...]


class RuleGroupsOutputs(StepOutputs):
    """Prometheus recording rule groups by name."""

    names: tuple[str, ...]


class ApiServerOutputs(StepOutputs):
    """The cluster's API server, reached from this worker."""

    kubernetes_version: str
    waited_s: float


class NamespacesOutputs(StepOutputs):
    """Both namespaces exist and are active."""

    namespaces: tuple[str, ...]


class PublicIpOutputs(ResourceOutputs):
    """The static public IP in the node resource group."""

    ip_address: str


class OperatorOutputs(StepOutputs):
    """The CloudNativePG operator."""

    namespace: str
    deployment: str
    version: str
    objects: int


class FederatedCredentialOutputs(ResourceOutputs):
    """What lets the database's pods write backups: who they are for Microsoft Entra ID."""

    issuer: str
    subject: str
    client_id: str


class ObjectsOutputs(StepOutputs):
    """Objects in the cluster by kind and name, as `Secret db-user-pass`."""

    names: tuple[str, ...]


class SecretsOutputs(ObjectsOutputs):
    """Secrets by their names, never what is in them."""


class PostgresClusterOutputs(StepOutputs):
    """The Postgres cluster as it is asked for; `lineage` is the name that it archives under."""

    namespace: str
    name: str
    lineage: str
    image: str


class PostgresReadyOutputs(StepOutputs):
    """The Postgres cluster once all of its instances are ready."""

    primary: str
    instances: int


class BackupOutputs(StepOutputs):
    """Where backups go, and since when it can be gone back to (empty where the operator doesn't say)."""

    destination: str
    recoverable_since: str


class VerificationOutputs(StepOutputs):
    """What was looked at and found to be so, one line each."""

    facts: tuple[str, ...]


class DatabaseOutputs(Outputs):
    """The database: how to connect, where its backups are, and what is shown and isn't. Never a password.

    `host` is a name inside the Kubernetes cluster; `public_host` and `address` are None without a load balancer.
    """

    namespace: str
    cluster: str
    lineage: str
    image: str
    instances: int
    primary: str
    host: str
    read_only_host: str
    public_host: str | None
    databases: tuple[str, ...]
    owner: str
    password_secret: str
    ca_secret: str
    backups: str | None
    recoverable_since: str
    dashboard: str | None = None
    pooler_host: str | None = None
    proven: tuple[str, ...]
    not_proven: tuple[str, ...]


class EnvironmentOutputs(Outputs):
    """Everything that `provision` made or found."""

    place: CheckedTarget
    resource_group: ResourceOutputs
    backup_group: ResourceOutputs
    identity: IdentityOutputs
    backup_identity: IdentityOutputs
    storage_account: StorageAccountOutputs
    container: ResourceOutputs
    backup_protection: ResourceOutputs
    grafana: GrafanaOutputs
    monitor_workspace: MonitorWorkspaceOutputs
    log_workspace: LogWorkspaceOutputs
    cluster: ClusterOutputs
    postgres_pool: NodePoolOutputs
    public_ip: PublicIpOutputs
    operator: OperatorOutputs
    database: DatabaseOutputs | None = None
    changes: dict[str, Change]

    @property
    def is_unchanged(self) -> bool:
        """Whether the run found everything in place and wrote nothing."""
        return all(change.kind == "unchanged" for change in self.changes.values())
