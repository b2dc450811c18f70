import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aks_postgres.arm.diff import decide, differences, merged, state_of
from aks_postgres.arm.resource import unsettled
from aks_postgres.errors import ImmutableChange
from aks_postgres.reports.outputs import FieldChange

# A busy machine is slow, not wrong.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

ID = "/subscriptions/S/resourceGroups/rg-cnpg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi"

KEYS = st.sampled_from(
    ["a", "b", "name", "tags", "properties", "provisioningState", "location", "nodeLabels"]
) | st.text(max_size=3)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False, width=16)
    | st.text(max_size=4)
    | st.sampled_from(
        ["Succeeded", "succeeded", "Failed", "Quantum", "westus3", "West US 3", "", ID, ID.lower()]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=5)


def changed(wanted: Any, live: Any) -> list[str]:
    return [change.field for change in differences(wanted, live)]


def is_unambiguous(value: Any) -> bool:
    """Whether no two keys or names in it differ by case only, as ARM would take them for one."""
    if isinstance(value, dict):
        folded = [key.casefold() for key in value]
        return len(set(folded)) == len(folded) and all(map(is_unambiguous, value.values()))
    if isinstance(value, list):
        names = [str(item["name"]).casefold() for item in value if isinstance(item, dict) and "name" in item]
        return len(set(names)) == len(names) and all(map(is_unambiguous, value))
    return True


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"id": ID}, {"id": ID.replace("resourceGroups", "resourcegroups")}),
        ({"id": ID}, {"id": ID.upper()}),
        ({"id": ID}, {"id": f"{ID}/"}),
        ({"identity": {ID: {}}}, {"identity": {ID.lower(): {"clientId": "c"}}}),
        ({"sku": {"name": "Standard"}}, {"sku": {"name": "standard", "tier": "Standard"}}),
        ({"location": "canadacentral"}, {"location": "Canada Central"}),
        ({"zones": ["1", "2", "3"]}, {"zones": ["3", "1", "2"]}),
        ({"zones": ["1", "2"]}, {"zones": [1, 2]}),
        ({"ranges": []}, {"ranges": None}),
        ({"ranges": []}, {}),
        ({"note": ""}, {"note": None}),
        ({"properties": {"mode": {}}}, {"properties": None}),
        ({"properties": {}}, {}),
        ({"count": 3}, {"count": 3.0}),
        ({"tags": {"Owner": "user"}}, {"tags": {"owner": "user"}}),
        (
            {"pools": [{"name": "postgres", "mode": "User"}]},
            {"pools": [{"name": "systempool"}, {"name": "Postgres", "mode": "user"}]},
        ),
        (
            {"rules": [{"record": "a", "expression": "up"}]},
            {"rules": [{"record": "a", "expression": "up", "labels": {}}]},
        ),
    ],
)
def test_what_azure_writes_another_way_is_no_difference(wanted: Any, live: Any) -> None:
    assert changed(wanted, live) == []


@pytest.mark.parametrize(
    ("wanted", "live", "fields"),
    [
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, ["b.c"]),
        ({"a": {"b": {"c": 1}}}, None, ["a.b.c"]),
        ({"a": {"b": 1}}, {"a": None}, ["a.b"]),
        ({"a": {"b": 1}}, {"a": "text"}, ["a"]),
        ({"a": {"b": 1}}, {"a": [{"b": 1}]}, ["a"]),
        ({"a": "text"}, {"a": {"b": 1}}, ["a"]),
        ({"a": ["1", "2"]}, {"a": ["1"]}, ["a"]),
        ({"a": ["1", "1"]}, {"a": ["1", "2"]}, ["a"]),
        ({"a": ["1"]}, {"a": "1"}, ["a"]),
        ({"a": ["1"]}, {"a": None}, ["a"]),
        ({"a": []}, {"a": ["1"]}, ["a"]),
        ({"tags": [{"x": "a"}]}, {"tags": [{"x": "A"}]}, ["tags"]),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": True}, {"a": "true"}, ["a"]),
        ({"a": False}, {}, ["a"]),
        ({"a": 0}, {}, ["a"]),
        ({"a": None}, {"a": "x"}, ["a"]),
        ({"sku": {"tier": "Standard"}}, {"sku": {"tier": "Quantum"}}, ["sku.tier"]),
        ({"tags": {"owner": "user"}}, {"tags": {"owner": "User"}}, ["tags.owner"]),
        ({"tags": {"owner": "user"}}, {"tags": None}, ["tags.owner"]),
        ({"tags": {"path": "a"}}, {"tags": {"path": "a/"}}, ["tags.path"]),
        (
            {"pools": [{"name": "p", "nodeLabels": {"workload": "postgres"}}]},
            {"pools": [{"name": "p", "nodeLabels": {"workload": "Postgres"}}]},
            ["pools[p].nodeLabels.workload"],
        ),
        (
            {"pools": [{"name": "p", "count": 3}]},
            {"pools": [{"name": "q"}]},
            ["pools[p].name", "pools[p].count"],
        ),
        ({"pools": [{"name": "p", "count": 3}]}, {"pools": [None, 5]}, ["pools"]),
        ({"pools": [{"name": "p", "count": 3}]}, {"pools": [{"name": None}]}, ["pools"]),
        ({"pools": [{"name": "p", "count": 3}]}, {"pools": "many"}, ["pools"]),
        (
            {"linux": {"publicKeys": [{"keyData": "ssh-rsa AAAB"}]}},
            {"linux": {"publicKeys": [{"keyData": "ssh-rsa aaab"}]}},
            ["linux.publicKeys"],
        ),
        ({"rules": [{"expression": 'up{job="A"}'}]}, {"rules": [{"expression": 'up{job="a"}'}]}, ["rules"]),
        (
            {"properties": {"issuer": "https://oidc/x/"}},
            {"properties": {"issuer": "https://oidc/x"}},
            ["properties.issuer"],
        ),
        (
            {"properties": {"audiences": ["api://A"]}},
            {"properties": {"audiences": ["api://a"]}},
            ["properties.audiences"],
        ),
        (
            {"properties": {"location": "canadacentral"}},
            {"properties": {"location": "Canada Central"}},
            ["properties.location"],
        ),
    ],
)
def test_a_real_difference_is_found_under_its_path(wanted: Any, live: Any, fields: list[str]) -> None:
    assert changed(wanted, live) == fields


def test_a_difference_says_what_was_and_what_will_be() -> None:
    (change,) = differences({"sku": {"tier": "Standard"}}, {"sku": {"tier": "Free"}})
    assert (change.old, change.new) == ("Free", "Standard")
    assert str(change) == "sku.tier: Free -> Standard"


def test_a_change_is_told_in_the_words_of_yaml_and_not_of_python() -> None:
    told = [
        str(FieldChange(field="f", old=old, new=new))
        for old, new in ((None, True), (False, ["a", "b"]), ({}, {"a": None}))
    ]
    assert told == ["f: unset -> true", "f: false -> a, b", "f: none -> a=unset"]


def test_two_values_that_differ_are_told_apart_although_long_ones_are_cut() -> None:
    old, new = (f"/subscriptions/{one}/resourceGroups/rg/providers/p/t/name" for one in "ab")
    assert str(FieldChange(field="f", old=old, new=new)) == f"f: {old} -> {new}"


def test_what_only_the_live_resource_has_is_no_difference() -> None:
    live = {"a": 1, "systemData": {"createdBy": "x"}, "pools": [{"name": "p", "count": 9}, {"name": "other"}]}
    assert changed({"a": 1, "pools": [{"name": "p"}]}, live) == []


@UNHURRIED
@given(OBJECTS, JSON)
def test_any_answer_can_be_compared_and_says_path_old_and_new(wanted: Any, live: Any) -> None:
    before = copy.deepcopy((wanted, live))
    for change in differences(wanted, live):
        assert isinstance(change.field, str)
        assert str(change)
    assert (wanted, live) == before


@UNHURRIED
@given(JSON.filter(is_unambiguous))
def test_nothing_differs_from_itself(value: Any) -> None:
    assert differences(value, copy.deepcopy(value)) == []


@UNHURRIED
@given(OBJECTS.filter(is_unambiguous), OBJECTS.filter(is_unambiguous))
def test_after_a_merge_nothing_differs_any_more(wanted: Any, live: Any) -> None:
    before = copy.deepcopy((wanted, live))
    result = merged(live, wanted)
    assert differences(wanted, result) == []
    assert (wanted, live) == before
    assert is_unambiguous({key.casefold(): None for key in result})
    json.dumps(result)


@UNHURRIED
@given(OBJECTS.filter(is_unambiguous), OBJECTS.filter(is_unambiguous))
def test_the_body_of_a_write_settles_the_decision(wanted: Any, live: Any) -> None:
    decision = decide("thing", wanted, live)
    assert decision.needs_write == bool(decision.change.fields)
    if not decision.needs_write:
        assert decision.body == {}
        return
    again = decide("thing", wanted, decision.body)
    assert {change.field for change in again.change.fields} <= {"provisioningState"}


def test_a_merge_keeps_what_it_doesnt_know_and_the_case_of_keys() -> None:
    live = {
        "identity": {"userAssignedIdentities": {ID.lower(): {"clientId": "c"}}},
        "tags": {"Owner": "me", "cost": "1"},
        "properties": {"new2027Field": {"x": [1]}, "zones": ["1"]},
    }
    wanted = {
        "identity": {"userAssignedIdentities": {ID: {}}},
        "tags": {"owner": "user"},
        "properties": {"zones": ["1", "2"]},
    }
    assert merged(live, wanted) == {
        "identity": {"userAssignedIdentities": {ID.lower(): {"clientId": "c"}}},
        "tags": {"Owner": "user", "cost": "1"},
        "properties": {"new2027Field": {"x": [1]}, "zones": ["1", "2"]},
    }


def test_a_merge_changes_the_pool_of_that_name_and_keeps_the_others() -> None:
    live = {"pools": [{"name": "systempool", "count": 2}, {"name": "Postgres", "count": 5, "mode": "User"}]}
    wanted = {"pools": [{"name": "postgres", "mode": "System"}, {"name": "new"}]}
    assert merged(live, wanted) == {
        "pools": [
            {"name": "systempool", "count": 2},
            {"name": "postgres", "count": 5, "mode": "System"},
            {"name": "new"},
        ]
    }


def test_of_two_pools_of_one_name_the_first_is_compared_and_changed() -> None:
    live = {"pools": [{"name": "p", "count": 1}, {"name": "P", "count": 3}]}
    wanted = {"pools": [{"name": "p", "count": 3}]}
    assert changed(wanted, live) == ["pools[p].count"]
    assert changed(wanted, merged(live, wanted)) == []


def test_a_merge_shares_nothing_with_what_it_was_made_of() -> None:
    live, wanted = {"a": {"b": [1]}}, {"c": {"d": [2]}}
    result = merged(live, wanted)
    result["a"]["b"].append(9)
    result["c"]["d"].append(9)
    assert (live, wanted) == ({"a": {"b": [1]}}, {"c": {"d": [2]}})


def test_an_absent_resource_is_created_with_what_is_sent_only_once() -> None:
    decision = decide(
        "pool", {"properties": {"mode": "User"}}, None, only_at_creation={"properties": {"count": 3}}
    )
    assert decision.change.kind == "created"
    assert decision.body == {"properties": {"count": 3, "mode": "User"}}


def test_what_is_sent_only_once_is_never_compared() -> None:
    live = {"properties": {"mode": "User", "count": 5}}
    decision = decide(
        "pool", {"properties": {"mode": "User"}}, live, only_at_creation={"properties": {"count": 3}}
    )
    assert decision.change.kind == "unchanged"
    assert not decision.needs_write


def test_a_drifted_field_is_updated_and_arms_own_fields_stay_behind() -> None:
    live = {
        "id": ID,
        "etag": "1",
        "eTag": "2",
        "systemData": {},
        "sku": {"tier": "Free"},
        "tags": {"by": "hand"},
    }
    decision = decide("cluster", {"sku": {"tier": "Standard"}}, live)
    assert decision.change.kind == "updated"
    assert str(decision.change) == "updated (sku.tier: Free -> Standard)"
    assert decision.body == {"id": ID, "sku": {"tier": "Standard"}, "tags": {"by": "hand"}}


@pytest.mark.parametrize("state", ["Failed", "failed", "Canceled", "CANCELED"])
def test_a_failed_resource_is_written_again_although_every_field_matches(state: str) -> None:
    live = {"a": 1, "properties": {"provisioningState": state}}
    decision = decide("cluster", {"a": 1}, live)
    assert [change.field for change in decision.change.fields] == ["provisioningState"]
    assert decision.needs_write


def test_an_immutable_field_is_refused_with_both_values_and_a_way_out() -> None:
    live = {"properties": {"vmSize": "Standard_D4s_v3", "count": 1}}
    wanted = {"properties": {"vmSize": "Standard_D8s_v5", "count": 2}}
    with pytest.raises(ImmutableChange) as caught:
        decide(
            "node pool postgres", wanted, live, immutable=["properties.vmSize"], way_out="Rename the pool."
        )
    assert str(caught.value) == (
        "node pool postgres: properties.vmSize is 'Standard_D4s_v3' and the spec wants 'Standard_D8s_v5'; "
        "Azure can't change that in place. Rename the pool."
    )
    assert [change.field for change in caught.value.fields] == ["properties.vmSize"]


def test_an_immutable_path_covers_what_is_under_it_and_not_its_namesakes() -> None:
    with pytest.raises(ImmutableChange):
        decide(
            "cluster",
            {"network": {"plugin": "azure"}},
            {"network": {"plugin": "none"}},
            immutable=["network"],
        )
    decision = decide("cluster", {"networkMode": "b"}, {"networkMode": "a"}, immutable=["network"])
    assert decision.needs_write


@pytest.mark.parametrize(
    ("live", "state"),
    [
        ({}, "Succeeded"),
        ({"properties": None}, "Succeeded"),
        ({"properties": []}, "Succeeded"),
        ({"properties": {"provisioningState": None}}, "Succeeded"),
        ({"properties": {"provisioningState": "Quantum"}}, "Quantum"),
        ({"properties": {"provisioningState": 5}}, "5"),
    ],
)
def test_a_state_that_is_missing_is_settled_and_an_unknown_one_is_not(live: Any, state: str) -> None:
    assert state_of(live) == state
    assert unsettled(live) == (None if state == "Succeeded" else state)


@pytest.mark.parametrize(
    "pools",
    [
        None,
        [],
        "many",
        5,
        [None],
        ["postgres"],
        [{}],
        [{"provisioningState": None}],
        [{"name": "p", "provisioningState": "succeeded"}],
    ],
)
def test_odd_lists_of_pools_are_settled(pools: Any) -> None:
    assert unsettled({"properties": {"provisioningState": "Succeeded", "agentPoolProfiles": pools}}) is None


def test_a_cluster_is_unsettled_while_one_of_its_pools_is() -> None:
    pools = [
        {"name": "systempool", "provisioningState": "Succeeded"},
        {"name": "p", "provisioningState": "Scaling"},
    ]
    assert unsettled({"properties": {"agentPoolProfiles": pools}}) == "node pool p Scaling"


@UNHURRIED
@given(OBJECTS)
def test_any_answer_is_settled_or_says_what_it_does(live: Any) -> None:
    assert unsettled(live) is None or unsettled(live)
