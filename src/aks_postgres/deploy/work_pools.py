"""The three work pools, one for each identity on Azure, and the base job templates that they are made with.

What a run may do on Azure is what its pool's identity may: a plan reads, `provision` writes, and only `tear_down` and
`rebuild` delete. In the templates command, environment, image and service account have no `{{ }}`, so that no job
variable reaches them. That is hardening and no boundary: docs/threat-model.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from aks_postgres.spec.names import PRODUCT

DATA = Path(__file__).parent / "data"

Identity = Literal["read", "write", "delete"]
PoolType = Literal["process", "docker", "kubernetes"]

# The name of the pool that writes is that of earlier versions, whose only pool it was.
WORK_POOL = PRODUCT
POOLS: dict[Identity, str] = {"read": f"{PRODUCT}-read", "write": WORK_POOL, "delete": f"{PRODUCT}-delete"}

# `rebuild` also provisions, in the same run; its identity can both.
IDENTITY_OF: dict[str, Identity] = {
    "plan": "read",
    "provision": "write",
    "provision_fleet": "write",
    "deploy_database": "write",
    "tear_down": "delete",
    "rebuild": "delete",
}


def service_account(identity: Identity) -> str:
    """The Kubernetes service account whose workload identity a pool's runs have."""
    return f"{PRODUCT}-{identity}"


def base_job_template(pool_type: PoolType, identity: Identity) -> dict[str, Any]:
    """Return what the runs of a pool are started as.

    Args:
        pool_type: the kind of worker.
        identity: whose pool it is; on Kubernetes its runs have the service account of it.
    """
    file = DATA / pool_type / "base-job-template.json"
    template: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if pool_type == "kubernetes":
        pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
        pod["serviceAccountName"] = service_account(identity)
    return template
