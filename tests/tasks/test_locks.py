"""Which locks are in the way of a tear-down: data in, words out."""

from typing import Any

import pytest

from aks_postgres.tear_down.locks import judge_locks

GROUP = "/subscriptions/s/resourceGroups/rg-ours"
BACKUPS = "/subscriptions/s/resourceGroups/rg-backups"


def judged(scope: str, level: str = "CanNotDelete") -> list[str]:
    lock: dict[str, Any] = {
        "id": f"{scope}/providers/Microsoft.Authorization/locks/mine",
        "properties": {"level": level},
    }
    return judge_locks([lock], [GROUP], [BACKUPS])


@pytest.mark.parametrize(
    "scope",
    [
        "/subscriptions/s",
        GROUP,
        GROUP.upper(),
        f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/aks",
    ],
)
@pytest.mark.parametrize("level", ["CanNotDelete", "ReadOnly"])
def test_a_lock_above_on_or_below_what_goes_is_named(scope: str, level: str) -> None:
    (problem,) = judged(scope, level)
    assert problem.startswith(f"lock mine ({level}) on {scope} forbids it")


@pytest.mark.parametrize("scope", ["/subscriptions/s/resourceGroups/rg-ours-too", "/subscriptions/s2"])
def test_a_lock_elsewhere_isnt_in_the_way(scope: str) -> None:
    assert judged(scope) == []


def test_kept_backups_may_be_kept_from_deletion_and_not_from_their_tags() -> None:
    account = f"{BACKUPS}/providers/Microsoft.Storage/storageAccounts/acc"
    assert judged(BACKUPS) == judged(account) == judged(account, "ReadOnly") == []
    assert len(judged(BACKUPS, "ReadOnly")) == 1
