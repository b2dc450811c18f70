"""What Azure would forbid half-way, or take along unannounced: deny assignments, and what is kept in a backup account.

Judged before the first deletion: met later, it would leave half an environment. Data in, words out.
https://learn.microsoft.com/azure/role-based-access-control/deny-assignments,
https://learn.microsoft.com/azure/storage/blobs/immutable-storage-overview
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from aks_postgres.arm.responses import Json, clean
from aks_postgres.errors import Finding
from aks_postgres.resources.permitted import granting
from aks_postgres.runs.write_lock import CONTAINER as LOCK_CONTAINER
from aks_postgres.tear_down.ownership import WAY_OUT

_EVERYONE = "00000000-0000-0000-0000-000000000000"
_PEOPLE = ("user", "serviceprincipal")
_MANAGEMENT_GROUPS = "/providers/microsoft.management/managementgroups/"
_WHEN_OVER = "Delete them once their time is over, or leave delete_backups out; then run again."
# Made by the storage service itself for its logs and its change feed.
_AZURES = frozenset({"$logs", "$blobchangefeed"})


def judge_denials(
    denials: Iterable[Json],
    caller_id: str,
    doomed: Iterable[str],
    kept: Iterable[str],
    actions: Iterable[str],
) -> list[Finding]:
    """Name the deny assignments that stand against deleting some groups.

    Args:
        denials: as ARM lists them at the groups.
        caller_id: object ID of whoever deletes.
        doomed: IDs of the groups that go, with everything in them.
        kept: IDs of what stays in them.
        actions: what the caller does there.
    """
    going, staying = [scope_id.casefold() for scope_id in doomed], [scope_id.casefold() for scope_id in kept]
    wanted = list(actions)
    problems = {}
    for denial in denials:
        properties = denial.get("properties") or {}
        scope = str(properties.get("scope") or "").rstrip("/").casefold()
        if any(_covers(scope_id, scope) for scope_id in staying) or not any(
            _covers(group, scope)
            or (_is_above(scope, group) and not properties.get("doNotApplyToChildScopes"))
            for group in going
        ):
            continue
        denied = [action for action in wanted if granting(action, properties.get("permissions") or [])]
        if denied and _concerns(properties, caller_id.casefold()):
            name = clean(str(properties.get("denyAssignmentName") or denial.get("name")))
            problems[str(denial.get("id")).casefold()] = Finding(
                f"deny assignment {name} on {scope or '/'} forbids {', '.join(denied[:3])}"
                f"{' and more' if len(denied) > 3 else ''}.",
                f"Ask whoever set it to remove it or to exclude {caller_id} by its own ID, then run again.",
            )
    return list(problems.values())


def _concerns(properties: Json, caller_id: str) -> bool:
    """Return whether it may be meant for the caller; who is in a group isn't known, so a group may be."""
    excluded = {
        str(principal.get("id")).casefold() for principal in properties.get("excludePrincipals") or []
    }
    if caller_id in excluded:
        return False
    return any(
        str(principal.get("id")).casefold() in (caller_id, _EVERYONE)
        or str(principal.get("type")).casefold() not in _PEOPLE
        for principal in properties.get("principals") or []
    )


def judge_backup_account(account: Json, container: str, containers: Sequence[Json]) -> list[Finding]:
    """Return what stands against deleting a backup account with these containers in it.

    Args:
        account: the account as ARM shows it.
        container: name of the backups' container.
        containers: as ARM lists them.
    """
    name = account["name"]
    problems = []
    if _is_enabled(account.get("properties"), "immutableStorageWithVersioning"):
        problems.append(
            Finding(
                f"storage account {name} keeps versions immutable (immutableStorageWithVersioning), so it can't be "
                "deleted with any in it.",
                _WHEN_OVER,
            )
        )
    for listed in containers:
        properties = listed.get("properties") or {}
        label = f"blob container {listed['name']} in storage account {name}"
        if listed["name"] not in (container, LOCK_CONTAINER) and listed["name"] not in _AZURES:
            problems.append(
                Finding(
                    f"{label} isn't this environment's (its backups are in {container}), and deleting the backups "
                    "would take it along.",
                    WAY_OUT,
                )
            )
        if properties.get("hasLegalHold") or _tags_of(properties.get("legalHold")):
            tags = ", ".join(_tags_of(properties.get("legalHold"))) or "without a readable tag"
            problems.append(
                Finding(
                    f"{label} is under a legal hold ({clean(tags)}).",
                    "Ask whoever set it to clear it, or leave delete_backups out; then run again.",
                )
            )
        policy = properties.get("immutabilityPolicy")
        if properties.get("hasImmutabilityPolicy") or policy:
            inner = (policy or {}).get("properties") or {}
            problems.append(
                Finding(
                    f"{label} has an immutability policy ({inner.get('state', 'of unknown state')}, "
                    f"{inner.get('immutabilityPeriodSinceCreationInDays', '?')} days).",
                    "An unlocked one can be deleted (az storage container immutability-policy delete --account-name "
                    f"{name} --container-name {listed['name']} --if-match '*'), a locked one has to run out; or leave "
                    "delete_backups out. Then run again.",
                )
            )
        if _is_enabled(properties, "immutableStorageWithVersioning"):
            problems.append(
                Finding(f"{label} keeps versions immutable (immutableStorageWithVersioning).", _WHEN_OVER)
            )
    return problems


def _tags_of(hold: Any) -> list[str]:
    tags = hold.get("tags") if isinstance(hold, dict) else None
    return [str(tag.get("tag")) for tag in tags or [] if isinstance(tag, dict)]


def _is_enabled(properties: Any, name: str) -> bool:
    found = (properties or {}).get(name)
    return bool(found.get("enabled")) if isinstance(found, dict) else False


def _covers(scope: str, target: str) -> bool:
    return target == scope or target.startswith(f"{scope}/")


def _is_above(scope: str, group: str) -> bool:
    """Whether what is set at a scope applies to a group, too; the root, `/`, is empty here.

    No ID tells which subscriptions a management group holds, but ARM lists at a group only those above it.
    """
    return _covers(scope, group) or scope.startswith(_MANAGEMENT_GROUPS)
