"""What answers in Azure's or the cluster's place, such as a proxy's page, says nothing of Azure: not by its status."""

import pytest

from aks_postgres.errors import ProvisioningError
from aks_postgres.flows.tear_down import tear_down

from ..cases import shown
from ..conftest import spec_for
from .conftest import writes
from .stage import Stage
from .test_tear_down import KEY

pytestmark = pytest.mark.usefixtures("prefect_api")

PAGE = (
    "<html><head><title>Blocked</title></head><body>The gateway of Contoso refuses this site.</body></html>"
)
# What a flow asks, by service and a part of the path: the first decides what is there, or who asks.
ASKED = {
    "the cluster": ("arm", r"/managedClusters/[^/]+$"),
    "the groups": ("arm", r"/resourceGroups/[^/]+$"),
    "the group's resources": ("arm", r"/resourceGroups/[^/]+/resources$"),
    "the subscription": ("arm", r"^/subscriptions/[^/]+$"),
    "databases": ("kubernetes", r"/clusters$"),
    "backups": ("kubernetes", r"/backups$"),
    "claims": ("kubernetes", r"/persistentvolumeclaims$"),
    "volumes": ("kubernetes", r"/persistentvolumes$"),
}
CASES = [(what, status) for status in (404, 401, 403) for what in ASKED]


def pages(stage: Stage, what: str, status: int) -> None:
    service, path = ASKED[what]
    stage.azure.control("PUT", "state", stage.state)
    page = {"status": status, "raw_body": PAGE}
    stage.azure.fault(page, service=service, path=path, method="GET", times=None)


@pytest.mark.parametrize(("what", "status"), shown(CASES))
async def test_a_page_is_no_sign_that_nothing_is_there(stage: Stage, what: str, status: int) -> None:
    """Nothing is deleted, and the refusal is about what stands in between."""
    pages(stage, what, status)
    since = len(stage.azure.ledger())
    with pytest.raises(ProvisioningError) as refused:
        await tear_down(spec_for(stage.azure), KEY)
    deleted = [one for one in writes(stage.azure.ledger()[since:]) if one["method"] == "DELETE"]
    assert deleted == []
    assert "That isn't how" in str(refused.value)
    assert "Sign in" not in str(refused.value)
