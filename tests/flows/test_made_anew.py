"""Every resource that others refer to, deleted and made anew under its name: by the next run, or by somebody else.

Another thing is behind the name then: a principal, or a workspace's own ID. A plan shows who still refers to the one
that is gone, and `provision` mends it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from aks_postgres.flows.plan import make_plan
from aks_postgres.flows.provision import provision

from ..conftest import spec_for
from ..tasks.world import Json
from .stage import (
    ACCOUNT,
    API_VERSIONS,
    CLUSTER,
    ENDPOINT,
    GRAFANA,
    IDENTITY,
    LOGS,
    LOGS_LINK,
    LOGS_RULE,
    METRICS,
    METRICS_LINK,
    METRICS_RULE,
    Stage,
    delete,
    put,
)

pytestmark = pytest.mark.usefixtures("prefect_api")


@dataclass(frozen=True)
class Anew:
    """A resource that others refer to.

    Args:
        which: it is, among the stage's.
        step: makes it.
        mended: the steps that mend what refers to it, whoever made it anew.
        also: those that have something to do only if a run makes it anew.
        users: have to go first, as Azure deletes nothing that is used.
    """

    which: str
    step: str
    mended: tuple[str, ...]
    also: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


READERS = ("grafana_roles", "node_group_reader", "metrics_reader")
IN_THE_ACCOUNT = ("backup_protection", "backup_lifecycle", "backup_container", "blob_roles")
METRICS_USERS = (METRICS_LINK, METRICS_RULE)
ANEW = {
    "Grafana": Anew(GRAFANA, "grafana", READERS, also=("grafana_link",)),
    "log workspace": Anew(LOGS, "log_workspace", ("logs_rule",)),
    # What Azure recommends for a new workspace shows once it is there.
    "monitor workspace": Anew(
        METRICS, "monitor_workspace", ("metrics_rule", "metrics_reader"), also=("rule_groups",)
    ),
    "identity": Anew(IDENTITY, "managed_identity", ("blob_roles", "cluster", "network_role")),
    "metrics endpoint": Anew(
        ENDPOINT, "metrics_endpoint", ("metrics_rule", "metrics_association"), users=METRICS_USERS
    ),
    "metrics rule": Anew(METRICS_RULE, "metrics_rule", ("metrics_association",), users=(METRICS_LINK,)),
    "logs rule": Anew(LOGS_RULE, "logs_rule", ("logs_association",), users=(LOGS_LINK,)),
    "storage account": Anew(ACCOUNT, "storage_account", IN_THE_ACCOUNT),
}
# `test_cluster_writes` has what is said of a cluster that somebody deleted. What is in an account goes with it.
WHICH = (CLUSTER, *(anew.which for anew in ANEW.values() if anew.which != ACCOUNT))
# What a person's tools send of what they read.
WRITABLE = ("location", "tags", "sku", "kind", "identity", "properties")


def texts(value: Any) -> Iterator[str]:
    """Every text in a body, keys included."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key.casefold()
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value.casefold()


def own_ids(body: Json) -> set[str]:
    """What Azure calls it beside its name."""
    properties = body.get("properties") or {}
    about = (body.get("identity") or {}) | properties | (properties.get("metrics") or {})
    keys = ("principalId", "clientId", "customerId", "accountId", "internalId", "immutableId")
    return {str(about[key]).casefold() for key in keys if about.get(key)}


def test_whatever_others_refer_to_is_among_them(stage: Stage) -> None:
    """By resource ID, or by an ID of its own; what AKS and Azure Monitor keep in groups of theirs is not ours."""
    stored = {str(one["body"]["id"]).casefold(): one for one in stage.state["resources"]}
    said = {resource_id: {*texts(one["body"])} for resource_id, one in stored.items()}
    own = f"{stage.outputs.resource_group.id}/".casefold()
    referred = {
        f"{one['type'].rpartition('/')[2]}/{one['body']['name']}"
        for resource_id, one in stored.items()
        if resource_id.startswith(own) and not one["type"].endswith("/roleAssignments")
        for other, words in said.items()
        if other != resource_id and words & {resource_id, *own_ids(one["body"])}
    }
    assert {name for name in referred if not name.startswith(WHICH)} == set()
    assert {which for which in WHICH if not any(name.startswith(which) for name in referred)} == set()


@pytest.mark.parametrize(
    ("name", "by_somebody"),
    [
        pytest.param(name, by, marks=() if (name, by) == ("log workspace", True) else pytest.mark.thorough)
        for name in ANEW
        for by in (False, True)
    ],
)
async def test_what_referred_to_the_one_that_is_gone_is_shown_and_mended(
    stage: Stage, name: str, by_somebody: bool
) -> None:
    anew, azure, spec = ANEW[name], stage.azure, spec_for(stage.azure)
    azure.control("PUT", "state", stage.state)
    path, version = stage.id(anew.which), API_VERSIONS[anew.which.partition("/")[0]]
    before = azure.arm("GET", path, api_version=version).json()
    for which in (*anew.users, anew.which):
        # A workspace that is only set aside comes back as it was.
        force = "?force=true" if which == LOGS else ""
        delete(azure, stage.id(which) + force, API_VERSIONS[which.partition("/")[0]])
        azure.step(5000)
    if by_somebody:
        put(azure, path, version, {key: before[key] for key in WRITABLE if key in before})
        azure.step(5000)

    planned = await make_plan(spec, recorded=False)
    expected = {*anew.mended} if by_somebody else {anew.step, *anew.mended, *anew.also}
    assert {step.step for step in planned.changes} == expected
    assert list(planned.refusals) == []
    done = (await provision(spec)).changes
    changed = {step for step, change in done.items() if change.kind != "unchanged"}
    assert changed == expected - {"rule_groups"}
    assert (await make_plan(spec, recorded=False)).is_empty

    # Nothing but roles of a principal that is gone, which Azure leaves, knows the old one any more.
    old = own_ids(before) - own_ids(azure.arm("GET", path, api_version=version).json())
    assert old or name == "storage account"
    state = azure.control("GET", "state")["resources"]
    known = [
        one["body"]["id"]
        for one in state
        if not one["type"].endswith("/roleAssignments") and old & {*texts(one["body"])}
    ]
    assert known == []
