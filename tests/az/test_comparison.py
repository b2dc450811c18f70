"""The comparison finds what differs, and nothing else."""

from typing import Any

import pytest

from .differences import ABSENT, ANY, Difference, Starts
from .parity import Found, differences, explained

GROUP = "/subscriptions/s/resourceGroups/rg-cnpg"


def account(**properties: Any) -> dict[str, Any]:
    kind = "Microsoft.Storage/storageAccounts"
    return {"id": f"{GROUP}/providers/{kind}/acc", "type": kind, "properties": properties}


def assignment(name: str, role: str = "r1", scope: str = GROUP) -> dict[str, Any]:
    kind = "Microsoft.Authorization/roleAssignments"
    about = {"roleDefinitionId": f"/providers/{kind}/{role}", "principalId": "p", "scope": scope}
    return {"id": f"{scope}/providers/{kind}/{name}", "type": kind, "name": name, "properties": about}


def paths(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    return [found.path for found in differences(ours, theirs)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (account(id=f"{GROUP}/x"), account(id=f"{GROUP}/x".lower())),
        (account(ids={f"{GROUP}/x": {}}), account(ids={f"{GROUP}/x".upper(): {}})),
        (
            account(pools=[{"name": "a", "n": 1}, {"name": "b", "n": 2}]),
            account(pools=[{"name": "b", "n": 2}, {"name": "a", "n": 1}]),
        ),
        (account(creationTime="2026"), account(creationTime="2027")),
        (account() | {"tags": {}}, account()),
        (assignment("g1"), assignment("g2")),
        (assignment("g1"), assignment("g2", scope=GROUP.lower())),
    ],
)
def test_what_means_the_same_is_no_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert paths([ours], [theirs]) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "path"),
    [
        (account(a={"b": 1}), account(a={"b": 2}), "properties.a.b"),
        (account(a={"b": 1}), account(a={}), "properties.a.b"),
        (account(a="X"), account(a="x"), "properties.a"),
        (account(a=[1, 2]), account(a=[2, 1]), "properties.a"),
        (account(a=None), account(), "properties.a"),
        (
            account(pools=[{"name": "a", "n": 1}]),
            account(pools=[{"name": "a", "n": 2}]),
            "properties.pools.a.n",
        ),
        (account() | {"tags": {"k": "v"}}, account(), "tags.k"),
        # There and not there is more than another time.
        (account(creationTime="2026"), account(), "properties.creationTime"),
    ],
)
def test_a_difference_is_found_under_its_path(
    ours: dict[str, Any], theirs: dict[str, Any], path: str
) -> None:
    assert paths([ours], [theirs]) == [path]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([account()], []),
        ([], [account()]),
        ([assignment("g")], [assignment("g", role="r2")]),
        ([assignment("g")], [assignment("g", scope=f"{GROUP}-2")]),
    ],
)
def test_a_resource_that_one_side_lacks_is_a_difference(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> None:
    assert set(paths(ours, theirs)) == {""}


@pytest.mark.parametrize(
    ("entry", "is_explained"),
    [
        (Difference(("*",), "tags.k", "v", ABSENT, ""), True),
        (Difference(("t",), "tags.*", ANY, ABSENT, ""), True),
        (Difference(("t",), "tags.k", Starts("v"), ABSENT, ""), True),
        (Difference(("other",), "tags.k", "v", ABSENT, ""), False),
        (Difference(("t",), "tags.other", "v", ABSENT, ""), False),
        (Difference(("t",), "tags.k", "w", ABSENT, ""), False),
        (Difference(("t",), "tags.k", Starts("w"), ABSENT, ""), False),
        (Difference(("t",), "tags.k", "v", "v", ""), False),
        (Difference(("t",), "tags.k", "v", ANY, ""), False),
    ],
)
def test_an_entry_allows_for_its_values_at_its_place_only(entry: Difference, is_explained: bool) -> None:
    assert bool(explained(Found("t", "key", "tags.k", "v", ABSENT), [entry])) is is_explained
