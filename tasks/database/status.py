"""Reads the databases of a cluster, for people who ask how they are; no step of a run."""

from __future__ import annotations

from aks_postgres.arm.client import Azure
from aks_postgres.arm.retry import all_ended
from aks_postgres.database.found import found_database
from aks_postgres.database.objects import LINEAGE, POSTGRES_API
from aks_postgres.kubernetes.client import kubernetes_api
from aks_postgres.reports.database_status import FoundDatabase
from aks_postgres.spec.names import Names


async def read_databases(azure: Azure, names: Names) -> tuple[FoundDatabase, ...]:
    """The databases that this product made in a generation's cluster; none where the operator isn't there.

    Guide: Validate, "Verify the PostgreSQL cluster" (kubectl cnpg status).
    REST: https://cloudnative-pg.io/documentation/1.30/cloudnative-pg.v1/#clusterstatus

    Raises:
        ProvisioningError: the API server can't be asked.
    """
    async with kubernetes_api(azure, names.resource_group, names.cluster) as api:
        clusters = await api.list_of(f"/apis/{POSTGRES_API}/clusters", "Cluster", labelSelector=LINEAGE) or []
        if not clusters:
            return ()
        stores, databases, poolers = await all_ended(
            [
                api.list_of("/apis/barmancloud.cnpg.io/v1/objectstores", "ObjectStore"),
                api.list_of(f"/apis/{POSTGRES_API}/databases", "Database"),
                api.list_of(f"/apis/{POSTGRES_API}/poolers", "Pooler"),
            ]
        )
    return tuple(found_database(one, stores or [], databases or [], poolers or []) for one in clusters)
