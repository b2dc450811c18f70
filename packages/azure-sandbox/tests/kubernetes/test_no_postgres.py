"""Without PostgreSQL a Cluster is accepted, and it is said that nothing will come of it."""

from .conftest import Cluster
from .test_plugin_install import POOL, apply, objects

CLUSTERS = "/apis/postgresql.cnpg.io/v1/namespaces/db/clusters"


async def test_a_cluster_stays_in_its_first_phase_and_an_event_says_why(emulated: Cluster) -> None:
    assert emulated.api is not None
    emulated.api.set_pools([POOL])
    await apply(emulated, objects("operator"))
    await emulated.done("POST", "/api/v1/namespaces", {"metadata": {"name": "db"}})
    body = {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Cluster",
        "metadata": {"name": "pg"},
        "spec": {"instances": 3, "storage": {"size": "1Gi"}},
    }
    await emulated.done("POST", CLUSTERS, body)
    await emulated.settle()
    status = (await emulated.done("GET", f"{CLUSTERS}/pg"))["status"]
    assert status["phase"] == "Setting up primary"
    events = (await emulated.done("GET", "/api/v1/namespaces/db/events"))["items"]
    assert [event["reason"] for event in events] == ["PostgresNotInstalled"]
    assert (await emulated.done("GET", "/api/v1/namespaces/db/pods"))["items"] == []
