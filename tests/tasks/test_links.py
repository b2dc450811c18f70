"""Links by what stands behind them: what is compared, what is sent, and when it is given up."""

from typing import cast

import pytest

from aks_postgres.arm.client import Azure
from aks_postgres.arm.diff import Decision
from aks_postgres.arm.errors import LastingState
from aks_postgres.arm.resource import ArmResource
from aks_postgres.arm.responses import Answer, Json
from aks_postgres.reports.outputs import UNCHANGED, IdentityOutputs
from aks_postgres.resources.links import identity_problem, rebinding, with_destinations

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mi"
IDENTITY = IdentityOutputs(id=ID, name="mi", principal_id="new-p", client_id="new-c", change=UNCHANGED)


def cluster(**about: str) -> Json:
    return {
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {ID.lower(): about}},
        "properties": {},
    }


STALE = cluster(principalId="old-p", clientId="old-c")


class Written:
    """The cluster's writes, as Azure takes them."""

    def __init__(self) -> None:
        self.bodies: list[Json] = []

    async def put(self, body: Json, _live: Json | None) -> Answer:
        self.bodies.append(body)
        return Answer(200, {})

    def resource(self) -> ArmResource:
        async def get() -> Answer:
            raise AssertionError("not read")

        return ArmResource(cast(Azure, None), "AKS cluster aks", "/c", get, self.put, 1, 1)


@pytest.mark.parametrize(
    "live",
    [
        None,
        {"properties": {}},
        cluster(),
        cluster(principalId="NEW-P", clientId="new-c"),
        cluster(principalId=""),
    ],
)
def test_what_is_the_same_or_not_shown_is_no_difference(live: Json | None) -> None:
    _, complete = rebinding(Written().resource(), IDENTITY)
    assert complete(Decision(UNCHANGED), live) == Decision(UNCHANGED)
    assert identity_problem(live, IDENTITY) is None


def test_an_identity_that_is_another_by_now_is_sent_by_its_id_alone() -> None:
    _, complete = rebinding(Written().resource(), IDENTITY)
    decision = complete(Decision(UNCHANGED), STALE)
    assert [(field.old, field.new) for field in decision.change.fields] == [
        ("old-p", "new-p"),
        ("old-c", "new-c"),
    ]
    assert decision.body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {ID: {}}}
    assert "earlier managed identity" in str(identity_problem(STALE, IDENTITY))


async def test_what_two_writes_did_not_mend_is_given_up_with_the_way_out() -> None:
    written = Written()
    resource, complete = rebinding(written.resource(), IDENTITY)
    for _ in range(2):
        await resource.put(complete(Decision(UNCHANGED), STALE).body, STALE)
    with pytest.raises(LastingState, match="--assign-identity") as refused:
        complete(Decision(UNCHANGED), STALE)
    assert ID in refused.value.way_out
    assert len(written.bodies) == 2


def test_a_rule_is_sent_without_the_ids_that_are_azures_to_fill_in() -> None:
    destination = {"name": "la", "workspaceResourceId": "/w", "workspaceId": "old"}
    live = {"etag": "e", "properties": {"destinations": {"logAnalytics": [destination]}}}
    decision = with_destinations(Decision(UNCHANGED), live, "new")
    assert decision.body == {
        "properties": {"destinations": {"logAnalytics": [{"name": "la", "workspaceResourceId": "/w"}]}}
    }
    assert with_destinations(Decision(UNCHANGED), live, "OLD") == Decision(UNCHANGED)
    assert with_destinations(Decision(UNCHANGED), live, "") == Decision(UNCHANGED)
