"""Every type of Azure resource that an environment is made of, and what follows from the list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aks_postgres.arm.kind import Kind
from aks_postgres.reports.outputs import Target
from aks_postgres.reports.plan_view import Chapter
from aks_postgres.resources import (
    blob_container,
    blob_service,
    data_collection,
    federated_credential,
    grafana,
    lifecycle_policy,
    log_workspace,
    managed_cluster,
    managed_identity,
    monitor_workspace,
    node_pool,
    public_ip,
    resource_group,
    role_assignments,
    rule_group,
    storage_account,
)
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.spec.spec_paths import resource_type

# In the order of a plan's chapters.
KINDS: tuple[Kind, ...] = (
    resource_group.KIND,
    public_ip.KIND,
    managed_identity.KIND,
    federated_credential.KIND,
    storage_account.KIND,
    blob_service.KIND,
    lifecycle_policy.KIND,
    blob_container.KIND,
    blob_container.IMMUTABILITY_POLICY,
    grafana.KIND,
    monitor_workspace.KIND,
    log_workspace.KIND,
    data_collection.ENDPOINT,
    data_collection.RULE,
    data_collection.ASSOCIATION,
    rule_group.KIND,
    managed_cluster.KIND,
    node_pool.KIND,
    role_assignments.KIND,
)
# ARM's own, which nobody registers.
_BUILT_IN = ("Microsoft.Resources", "Microsoft.Authorization")


def actions(kinds: Iterable[Kind] = KINDS) -> dict[str, str]:
    """Return what making and bringing them to the spec takes: action, and for which steps."""
    found: dict[str, str] = {}
    for kind in kinds:
        if kind.step:
            name = kind.permission or kind.type
            found |= {f"{name}/read": kind.reads or kind.step, f"{name}/write": kind.step, **kind.linked}
    return found


def optional_actions(kinds: Iterable[Kind] = KINDS) -> dict[str, str]:
    """The actions that only an option of the spec takes."""
    return {f"{kind.type}/{verb}": kind.option for kind in kinds if kind.option for verb in ("read", "write")}


def removals(kinds: Iterable[Kind] = KINDS) -> dict[str, str]:
    """Return what deleting them takes: action, and of what."""
    found: dict[str, str] = {}
    for kind in kinds:
        if kind.removal:
            found |= {f"{kind.permission or kind.type}/delete": kind.removal, **kind.removal_linked}
    return found


def providers(kinds: Iterable[Kind] = KINDS) -> tuple[str, ...]:
    """The resource providers that they take, in alphabetical order."""
    kinds = tuple(kinds)
    names = [*(kind.type for kind in kinds), *(action for kind in kinds for action in kind.linked)]
    return tuple(sorted({name.partition("/")[0] for name in names} - {*_BUILT_IN}))


def regional_types(kinds: Iterable[Kind] = KINDS) -> tuple[str, ...]:
    """The types that the region must have."""
    return tuple(sorted(kind.type for kind in kinds if kind.is_regional))


def is_foundation(resource_id: str, kinds: Iterable[Kind] = KINDS) -> bool:
    """Return whether it may be made before there is a lock."""
    return any(kind.is_foundation for kind in kinds if kind.type.casefold() == resource_type(resource_id))


def owned_ids(spec: EnvironmentSpec, target: Target, kinds: Iterable[Kind] = KINDS) -> dict[str, Kind]:
    """The case-folded IDs of everything with tags that a generation may have in its resource group."""
    return {
        target.resource_id(kind.type, name).casefold(): kind
        for kind in kinds
        for name in kind.owned(target.names, spec.region)
    }


def plan_words(kinds: Iterable[Kind] = KINDS) -> Mapping[str, tuple[Chapter, str]]:
    """Chapter and word of each type, by its name in small letters."""
    return {kind.type.casefold(): (kind.chapter, kind.plan_word or kind.word) for kind in kinds}


def brings(kinds: Iterable[Kind] = KINDS) -> Mapping[str, tuple[str, ...]]:
    """Return what happens beside the creation of each type, by its name in small letters."""
    return {kind.type.casefold(): kind.brings for kind in kinds}


def kind_of(resource_id: str) -> tuple[Chapter, str]:
    """Chapter and word of a resource; of one that no step makes, ARM's own word."""
    found = resource_type(resource_id)
    return plan_words().get(found, ("Other", found))


WORDS = tuple(word for _, word in plan_words().values())
"""Every word of a plan, in its order."""
