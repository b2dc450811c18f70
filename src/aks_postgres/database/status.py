"""What the operator says of a Cluster: whether it is ready, what it is doing, and what only a person can mend.

Phases are texts, not an enumeration (v1.30.0, api/v1/cluster_types.go); an unknown one isn't healthy, and a condition
that isn't there isn't good.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aks_postgres.database.limits import bytes_of
from aks_postgres.foreign_text import shown

Json = dict[str, Any]

HEALTHY = "Cluster in healthy state"
# No waiting ends these; each with its way out.
_LASTING = {
    "Cluster is unrecoverable and needs manual intervention": (
        "No instance can be started from its volume: restore from a backup "
        "(https://cloudnative-pg.io/documentation/1.30/recovery/)"
    ),
    "Invalid cluster definition": "Correct the field that the operator names, then run again",
    "Waiting for user action": "Finish or undo the change that the operator names",
    "Cluster has incomplete or invalid image catalog": (
        "See that the ImageCatalog of the cluster's name has the major, and that database.image exists"
    ),
    "Cluster cannot execute instance online upgrade due to missing architecture binary": (
        "Use nodes of an architecture that the operator's image is built for"
    ),
}
# While the plugin's pod starts, these pass.
_PASSING_AT_FIRST = {
    "Cluster cannot proceed to reconciliation due to an unknown plugin being required": (
        "See that the deployment barman-cloud is ready in the operator's namespace, and its Service has the label "
        "cnpg.io/pluginName"
    ),
    "Cluster cannot proceed to reconciliation due to an error while interacting with plugins": (
        "Read the log of the deployment barman-cloud in the operator's namespace"
    ),
    "Unable to create required cluster objects": "Read the log of the operator",
}

WAYS_OUT_OF_PHASES = _LASTING | _PASSING_AT_FIRST


@dataclass(frozen=True)
class Held:
    """That a person told the operator to leave a Cluster, or instances of it, as they are; no waiting ends it.

    https://cloudnative-pg.io/docs/1.31/declarative_hibernation, https://cloudnative-pg.io/docs/1.31/fencing
    """

    what: str
    """Such as `is hibernated`, behind the Cluster's name."""
    annotation: str
    """That ends it, as `kubectl annotate` takes it."""

    @classmethod
    def of(cls, live: Json) -> Held | None:
        """Read a Cluster's annotations."""
        annotations = _mapping(_mapping(live.get("metadata")).get("annotations"))
        if annotations.get("cnpg.io/hibernation") == "on":
            return cls("is hibernated: its volumes are kept, and no instance runs", "cnpg.io/hibernation=off")
        if instances := _fenced(annotations.get("cnpg.io/fencedInstances")):
            return cls(f"is fenced ({instances}): PostgreSQL is stopped there", "cnpg.io/fencedInstances-")
        if annotations.get("cnpg.io/reconciliationLoop") == "disabled":
            return cls(
                "is paused: the operator is told to do nothing with it, and nothing that is written takes effect",
                "cnpg.io/reconciliationLoop-",
            )
        return None

    def way_out(self, namespace: str, name: str) -> str:
        """How a person ends it, once the reason for it is over."""
        return (
            "Somebody asked for that. When it is over, end it (kubectl -n "
            f"{namespace} annotate cluster {name} --overwrite {self.annotation}), then run again."
        )


def _fenced(value: Any) -> str:
    """The names in the annotation, a JSON list; what isn't one is shown as it is, and an empty one fences nothing."""
    if not isinstance(value, str) or not value.strip():
        return ""
    try:
        names = json.loads(value)
    except ValueError:
        return shown(value)
    if not isinstance(names, list):
        return shown(value)
    return "all instances" if "*" in names else shown(", ".join(map(str, names)))


@dataclass(frozen=True)
class ClusterState:
    """A Cluster as its operator describes it."""

    phase: str
    reason: str
    instances: int
    ready: int
    primary: str
    target: str
    conditions: dict[str, tuple[str, str]]
    """By type: status and message."""

    @classmethod
    def of(cls, live: Json) -> ClusterState:
        """Read a Cluster as its API shows it."""
        status = _mapping(live.get("status"))
        conditions = {
            str(condition["type"]): (
                str(condition.get("status")),
                shown(str(condition.get("message") or condition.get("reason") or "")),
            )
            for condition in status.get("conditions") or []
            if isinstance(condition, dict) and "type" in condition
        }
        return cls(
            phase=shown(str(status.get("phase") or "")),
            reason=shown(str(status.get("phaseReason") or "")),
            instances=_number(_mapping(live.get("spec")).get("instances")),
            ready=_number(status.get("readyInstances")),
            primary=str(status.get("currentPrimary") or ""),
            target=str(status.get("targetPrimary") or ""),
            conditions=conditions,
        )

    @property
    def is_ready(self) -> bool:
        """Whether every instance is ready, the primary stays where it is, and the operator is done."""
        return (
            self.phase == HEALTHY
            and self.instances > 0
            and self.ready >= self.instances
            and bool(self.primary)
            and self.primary == self.target
        )

    @property
    def archives(self) -> bool:
        """Whether the operator says that WAL archiving works; silence doesn't say so."""
        return self.conditions.get("ContinuousArchiving", ("", ""))[0] == "True"

    @property
    def archiving_problem(self) -> str:
        """What the operator says of archiving that fails; empty where it doesn't say that it fails."""
        status, message = self.conditions.get("ContinuousArchiving", ("", ""))
        return (message or "no reason is given") if status == "False" else ""

    @property
    def lasting(self) -> str | None:
        """The way out of a phase that no waiting ends; None for any other phase."""
        return _LASTING.get(self.phase)

    @property
    def passing(self) -> str | None:
        """The way out of a phase that passes by itself or not at all; None for any other phase."""
        return _PASSING_AT_FIRST.get(self.phase)

    def __str__(self) -> str:
        """The operator's words, in one line."""
        parts = [self.phase or "the operator hasn't said anything yet"]
        if self.reason and self.reason != self.phase:
            parts.append(self.reason)
        if self.instances:
            parts.append(f"{self.ready} of {self.instances} instances ready")
        parts += [
            f"{kind} is {status}: {message}"
            for kind, (status, message) in self.conditions.items()
            if status != "True"
        ]
        return "; ".join(parts)


def used_archive(text: str) -> bool:
    """Return whether a message says that another cluster has archived under this name already.

    https://github.com/cloudnative-pg/cloudnative-pg/issues/6470
    """
    return "expected empty archive" in text.casefold()


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


# What the webhook of workload identity puts into each container of a labelled pod, when it makes the pod.
# https://azure.github.io/azure-workload-identity/docs/quick-start.html
_IDENTITY_VARIABLES = (
    "AZURE_AUTHORITY_HOST",
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TENANT_ID",
)
SIDECAR = "plugin-barman-cloud"


def without_identity(pods: list[Json]) -> dict[str, tuple[str, ...]]:
    """Pods of instances whose archiving container lacks variables that it signs in with, and which.

    A pod without that container isn't meant to archive by itself, or is made anew.
    """
    found = {}
    for pod in pods:
        spec = _mapping(pod.get("spec"))
        containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
        for container in containers:
            if isinstance(container, dict) and container.get("name") == SIDECAR:
                have = {
                    variable.get("name")
                    for variable in container.get("env") or []
                    if isinstance(variable, dict)
                }
                if missing := tuple(name for name in _IDENTITY_VARIABLES if name not in have):
                    found[str(pod["metadata"]["name"])] = missing
    return found


# What the operator made a pod as, before anybody's webhook or autoscaler changed it (pkg/utils of v1.30.0).
_POD_SPEC = "cnpg.io/podSpec"


def left_to_restart(pods: list[Json], cluster: Json, catalog: Json) -> dict[str, str]:
    """Pods of instances that were made for another Cluster than this one, and by what that is seen.

    The operator restarts them one by one after a change, and says that all is well until it has seen the change.

    Args:
        pods: of the instances, as their API shows them.
        cluster: as its API shows it.
        catalog: the ImageCatalog that it names.
    """
    wanted = _mapping(cluster.get("spec"))
    major = _mapping(wanted.get("imageCatalogRef")).get("major")
    images = [_mapping(entry) for entry in _mapping(catalog.get("spec")).get("images") or []]
    image = next((entry.get("image") for entry in images if entry.get("major") == major), None)
    found = {}
    for pod in pods:
        spec = _made_as(pod)
        containers = [item for item in spec.get("containers") or [] if isinstance(item, dict)]
        container = next((item for item in containers if item.get("name") == "postgres"), {})
        claims = {
            str(_mapping(_mapping(volume).get("persistentVolumeClaim")).get("claimName"))
            for volume in spec.get("volumes") or []
        }
        name = str(_mapping(pod.get("metadata")).get("name"))
        if image is not None and container.get("image") != image:
            found[name] = f"has image {shown(str(container.get('image')))}"
        elif not _same_resources(_mapping(container.get("resources")), _mapping(wanted.get("resources"))):
            found[name] = "has other resources"
        elif wanted.get("walStorage") and f"{name}-wal" not in claims:
            found[name] = "has no volume for its WAL"
    return found


def _made_as(pod: Json) -> Json:
    annotations = _mapping(_mapping(pod.get("metadata")).get("annotations"))
    try:
        made = json.loads(str(annotations.get(_POD_SPEC)))
    except ValueError:
        made = None
    return made if isinstance(made, dict) and made.get("containers") else _mapping(pod.get("spec"))


def _same_resources(live: Json, wanted: Json) -> bool:
    return all(
        bytes_of(_mapping(live.get(kind)).get(name)) == bytes_of(quantity)
        for kind, quantities in wanted.items()
        for name, quantity in _mapping(quantities).items()
    )
