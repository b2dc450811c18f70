"""The resource types that the API serves: the built-in ones and those that CustomResourceDefinitions add.

Left out of the built-in ones, and so answered 404: whatever would need a controller that isn't here
(StatefulSet, Job, CronJob, HorizontalPodAutoscaler, Ingress), and the beta APIs. A PersistentVolumeClaim is stored and
stays Pending, as AKS's storage classes leave it until a pod uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class ResourceType:
    """A type in one API version.

    Attributes:
        schema: of the whole object; None for a built-in type, whose schema is found by its kind.
        subresources: `status` and those that only some types have.
        columns: of a custom type's table: name, type, JSON path and priority.
        generation: whether `metadata.generation` counts changes of the spec.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    verbs: tuple[str, ...] = ALL_VERBS
    generation: bool = False
    custom: bool = False
    columns: tuple[tuple[str, str, str, int], ...] = ()
    schema: Json | None = field(default=None, compare=False, hash=False)

    @property
    def key(self) -> str:
        """What objects are stored under, the same for all versions: `deployments.apps`."""
        return self.qualified

    @property
    def qualified(self) -> str:
        """Plural and group, as messages name the type."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


# API version; kind, plural, in a Namespace or the Cluster, short names, subresources, g: has a generation
_BUILT_IN = """
v1
  Namespace                      namespaces                      C ns       status,finalize                 -
  Node                           nodes                           C no       proxy,status                    -
  Pod                            pods                  N po  binding,eviction,exec,log,portforward,proxy,status g
  Service                        services                        N svc      status                          -
  Endpoints                      endpoints                       N ep       -                               -
  ConfigMap                      configmaps                      N cm       -                               -
  Secret                         secrets                         N -        -                               -
  ServiceAccount                 serviceaccounts                 N sa       token                           -
  PersistentVolumeClaim          persistentvolumeclaims          N pvc      status                          -
  PersistentVolume               persistentvolumes               C pv       status                          -
  Event                          events                          N ev       -                               -
apps/v1
  Deployment                     deployments                     N deploy   status,scale                    g
  ReplicaSet                     replicasets                     N rs       status,scale                    g
  DaemonSet                      daemonsets                      N ds       status                          g
rbac.authorization.k8s.io/v1
  Role                           roles                           N -        -                               -
  RoleBinding                    rolebindings                    N -        -                               -
  ClusterRole                    clusterroles                    C -        -                               -
  ClusterRoleBinding             clusterrolebindings             C -        -                               -
apiextensions.k8s.io/v1
  CustomResourceDefinition       customresourcedefinitions       C crd,crds status                          g
admissionregistration.k8s.io/v1
  MutatingWebhookConfiguration   mutatingwebhookconfigurations   C -        -                               g
  ValidatingWebhookConfiguration validatingwebhookconfigurations C -        -                               g
coordination.k8s.io/v1
  Lease                          leases                          N -        -                               -
policy/v1
  PodDisruptionBudget            poddisruptionbudgets            N pdb      status                          g
storage.k8s.io/v1
  StorageClass                   storageclasses                  C sc       -                               -
networking.k8s.io/v1
  NetworkPolicy                  networkpolicies                 N netpol   -                               g
discovery.k8s.io/v1
  EndpointSlice                  endpointslices                  N -        -                               g
scheduling.k8s.io/v1
  PriorityClass                  priorityclasses                 C pc       -                               g
"""

_IN_ALL = {"Pod", "Service", "Deployment", "ReplicaSet", "DaemonSet"}

# Asked, never stored.
_REVIEWS = (
    ResourceType(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        False,
        "selfsubjectaccessreview",
        verbs=("create",),
    ),
)


def _built_in() -> Iterator[ResourceType]:
    group = version = ""
    for line in _BUILT_IN.strip().splitlines():
        if not line.startswith(" "):
            group, _, version = line.rpartition("/")
            continue
        kind, plural, scope, short, subresources, generation = line.split()
        yield ResourceType(
            group=group,
            version=version,
            plural=plural,
            kind=kind,
            namespaced=scope == "N",
            singular=kind.lower(),
            list_kind=f"{kind}List",
            short_names=() if short == "-" else tuple(short.split(",")),
            categories=("all",) if kind in _IN_ALL else (),
            subresources=frozenset() if subresources == "-" else frozenset(subresources.split(",")),
            generation=generation == "g",
        )
    yield from _REVIEWS


class Registry:
    """All types served, in the order of discovery."""

    def __init__(self) -> None:
        self._types = {(item.group, item.version, item.plural): item for item in _built_in()}

    def add(self, type_: ResourceType) -> None:
        """Serve a type, or its new form."""
        self._types[(type_.group, type_.version, type_.plural)] = type_

    def remove_custom(self, group: str, plural: str) -> None:
        """Serve a custom type no longer."""
        for key, item in list(self._types.items()):
            if item.custom and (item.group, item.plural) == (group, plural):
                del self._types[key]

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        """The type of a path, or None."""
        return self._types.get((group, version, plural))

    def named(self, key: str) -> ResourceType:
        """The type stored under a key such as `deployments.apps`, in the version listed first.

        Raises:
            KeyError: it isn't served.
        """
        for item in self._types.values():
            if item.key == key:
                return item
        raise KeyError(key)

    def all(self) -> list[ResourceType]:
        """Every type in every version."""
        return list(self._types.values())

    def group_versions(self) -> dict[str, list[str]]:
        """Versions served by group; the core group is the empty name."""
        groups: dict[str, list[str]] = {}
        for item in self._types.values():
            versions = groups.setdefault(item.group, [])
            if item.version not in versions:
                versions.append(item.version)
        return groups
