"""No part of a database on the sandbox is a stub: programs, identities of clusters, and who writes the blobs."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from azure_sandbox.client import SandboxProcess

from ..flows.stage import kube_for
from .conftest import Deployed
from .test_real_postgres import CLUSTERS, live

pytestmark = [pytest.mark.database, pytest.mark.timeout(900)]


async def test_nothing_of_it_is_a_stub(
    with_postgres: SandboxProcess, deployed: Deployed, tmp_path: Path
) -> None:
    """The servers are the pinned programs, two clusters have two identities, and blobs are written by the pods' own."""
    kube = kube_for(with_postgres, deployed.first.outputs, tmp_path)
    name = deployed.outputs.cluster
    other = live(kube, deployed)
    other = {
        **{key: other[key] for key in ("apiVersion", "kind")},
        "metadata": {"name": "other", "namespace": "cnpg-database"},
        "spec": {"instances": 1, "imageName": deployed.outputs.image, "storage": {"size": "1Gi"}},
    }
    kube.create(CLUSTERS, other)
    for _ in range(240):
        answer = kube.get(f"{CLUSTERS}/other")
        if answer and (answer.get("status") or {}).get("systemID"):
            break
        await asyncio.sleep(0.5)
    programs = Path(with_postgres.description["psql"]).parent / "18.6.0" / "bin"
    identities: dict[str, set[str]] = {"other": set(), name: set()}
    for key, instance in with_postgres.control("GET", "postgres")["instances"].items():
        assert Path(os.readlink(f"/proc/{instance['pid']}/exe")) == programs / "postgres"
        said = subprocess.run(
            [programs / "pg_controldata", "-D", instance["data"]],
            env={"LD_LIBRARY_PATH": str(programs.parent / "lib"), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        (identity,) = [line.split()[-1] for line in said.splitlines() if line.startswith("Database system")]
        identities.setdefault(key.rpartition("/")[2].rpartition("-")[0], set()).add(identity)
    version = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("postgres (PostgreSQL) 18.6")
    (ours,), (theirs,) = identities[name], identities["other"]
    assert ours != theirs
    assert live(kube, deployed)["status"]["systemID"] == ours
    kube.delete(f"{CLUSTERS}/other")

    # Only tokens of the cluster's own issuer open the identity that writes.
    identity = deployed.first.outputs.backup_identity
    path = f"{identity.id}/federatedIdentityCredentials"
    credentials = with_postgres.arm("GET", path, api_version="2024-11-30").json()["value"]
    assert {one["properties"]["issuer"] for one in credentials} == {
        deployed.first.outputs.cluster.oidc_issuer_url
    }
    tokens = [one for one in deployed.ledger if (one["service"], one["operation"]) == ("entra", "Token")]
    assert any("client_assertion" in (one["body"] or {}) for one in tokens if one["status"] == 200)
    written = [one for one in deployed.ledger if one["operation"] == "PutBlockList"]
    assert {one["principal"] for one in written} == {identity.principal_id}
