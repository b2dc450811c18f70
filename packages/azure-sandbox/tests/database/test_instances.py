"""A Cluster is three real servers: made, asked, killed, frozen, switched over."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import ssl
import struct
from typing import Any

import pytest

from azure_sandbox.kubernetes_client import Cluster

from .conftest import CLUSTERS, healthy, until

Json = dict[str, Any]

SPEC: Json = {
    "instances": 3,
    "imageName": "ghcr.io/cloudnative-pg/postgresql:18.6-standard-trixie",
    "storage": {"size": "1Gi"},
    "bootstrap": {"initdb": {"database": "appdb", "owner": "app", "dataChecksums": True}},
    "postgresql": {
        "synchronous": {"method": "any", "number": 1},
        "parameters": {"log_statement": "ddl", "shared_buffers": "4GB", "pg_stat_statements.max": "10000"},
    },
}


def body(name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {**SPEC, **spec},
    }


@pytest.fixture(scope="module")
async def pg(cluster: Cluster) -> Cluster:
    await cluster.done("POST", CLUSTERS, body("pg"))
    await healthy(cluster, "pg")
    return cluster


def server(cluster: Cluster, name: str) -> Any:
    work = cluster.api.postgres.work_of("db", name)  # type: ignore[union-attr]
    return work.instances[name].server


async def test_three_servers_stream_from_one(pg: Cluster) -> None:
    obj = await healthy(pg, "pg")
    primary = obj["status"]["currentPrimary"]
    streaming = await server(pg, primary).sql(
        "select string_agg(application_name || ' ' || state, ',' order by 1) from pg_stat_replication"
    )
    assert streaming == "pg-2 streaming,pg-3 streaming"
    assert await server(pg, primary).sql("show synchronous_standby_names") == 'ANY 1 ("pg-2","pg-3","pg-1")'
    assert await server(pg, primary).sql("show data_checksums") == "on"
    identifier = await server(pg, primary).sql("select system_identifier from pg_control_system()")
    assert obj["status"]["systemID"] == identifier
    pods = (await pg.done("GET", "/api/v1/namespaces/db/pods"))["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3
    roles = {pod["metadata"]["name"]: pod["metadata"]["labels"]["cnpg.io/instanceRole"] for pod in pods}
    assert roles == {"pg-1": "primary", "pg-2": "replica", "pg-3": "replica"}


async def test_a_killed_primary_is_replaced_and_comes_back_as_a_standby(pg: Cluster) -> None:
    before = await healthy(pg, "pg")
    old = before["status"]["currentPrimary"]
    await server(pg, old).sql(
        "create table kept (n int); insert into kept select generate_series(1, 100)", "appdb"
    )
    os.kill(server(pg, old).process.pid, signal.SIGKILL)

    async def moved() -> bool:
        obj = await pg.done("GET", f"{CLUSTERS}/pg")
        return bool(obj["status"]["currentPrimary"] != old)

    await until(moved)
    after = await healthy(pg, "pg")
    new = after["status"]["currentPrimary"]
    assert await server(pg, new).sql("select count(*) from kept", "appdb") == "100"
    assert await server(pg, old).sql("select pg_is_in_recovery()") == "t"
    assert after["status"]["timelineID"] == before["status"]["timelineID"] + 1
    assert after["status"]["systemID"] == before["status"]["systemID"]


def core(cluster: Cluster) -> Any:
    from kubernetes import client

    configuration = client.Configuration()
    configuration.host = cluster.url
    configuration.ssl_ca_cert = str(cluster.ca_file)
    configuration.api_key = {"authorization": f"Bearer {cluster.token}"}
    return client.CoreV1Api(client.ApiClient(configuration))


async def test_psql_answers_through_the_api_server(pg: Cluster) -> None:
    from kubernetes.stream import stream

    api = core(pg)
    primary = (await healthy(pg, "pg"))["status"]["currentPrimary"]

    def ask(*command: str, **more: Any) -> Any:
        call = api.connect_get_namespaced_pod_exec
        options = {
            "container": "postgres",
            "stdout": True,
            "stderr": True,
            "stdin": False,
            "tty": False,
            **more,
        }
        return stream(call, primary, "db", command=list(command), **options)

    asked = await asyncio.to_thread(ask, "psql", "-U", "postgres", "-XAtc", "select 6 * 7")
    assert asked.strip() == "42"
    running = await asyncio.to_thread(ask, "psql", "-X", "appdb", stdin=True, _preload_content=False)

    def talk() -> str:
        running.write_stdin("select 'said ' || 'so';\n\\q\n")
        running.run_forever(timeout=60)
        return str(running.read_stdout())

    assert "said so" in await asyncio.to_thread(talk)
    assert running.returncode == 0
    failed = await asyncio.to_thread(ask, "psql", "-XAtc", "select 1 / 0", _preload_content=False)
    await asyncio.to_thread(failed.run_forever, 60)
    assert (failed.returncode, "division by zero" in failed.read_stderr()) == (1, True)
    log = await asyncio.to_thread(api.read_namespaced_pod_log, primary, "db")
    assert "division by zero" in log


async def test_a_driver_reaches_the_server_by_port_forward_and_knows_it(pg: Cluster) -> None:
    """With the Secrets that the operator made: the application's password, and the Cluster's authority."""
    from kubernetes.stream import portforward

    api = core(pg)
    secrets = {
        name: {key: base64.b64decode(value) for key, value in found["data"].items()}
        for name in ("pg-app", "pg-ca")
        if (found := await pg.done("GET", f"/api/v1/namespaces/db/secrets/{name}"))
    }
    primary = (await healthy(pg, "pg"))["status"]["currentPrimary"]

    def look() -> bytes:
        forward = portforward(api.connect_get_namespaced_pod_portforward, primary, "db", ports="5432")
        plain = forward.socket(5432)
        plain.setblocking(True)
        plain.sendall(struct.pack("!ii", 8, 80877103))  # SSLRequest
        assert plain.recv(1) == b"S"
        # The server's certificate, by the authority in the Secret and one of its names.
        context = ssl.create_default_context(cadata=secrets["pg-ca"]["ca.crt"].decode())
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="pg-rw.db.svc")
        for _ in range(100):
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        plain.sendall(outgoing.read())
        certificate = tls.getpeercert()
        forward.close()
        assert certificate is not None
        return str(certificate["subjectAltName"]).encode()

    assert b"pg-rw.db.svc.cluster.local" in await asyncio.to_thread(look)
    assert secrets["pg-app"]["username"] == b"app"


def ways(cluster: Cluster) -> dict[str, str]:
    found: dict[str, str] = cluster.api.postgres.shown()["services"]  # type: ignore[union-attr]
    return found


async def asked_through(cluster: Cluster, service: str, sql: str) -> str:
    """As the application, with its password, over TLS verified by the Cluster's authority."""
    secret = await cluster.done("GET", "/api/v1/namespaces/db/secrets/pg-app")
    password = base64.b64decode(secret["data"]["password"]).decode()
    authority = await cluster.done("GET", "/api/v1/namespaces/db/secrets/pg-ca")
    one = server(cluster, "pg-1")
    path = one.folder / "client-ca.pem"
    path.write_bytes(base64.b64decode(authority["data"]["ca.crt"]))
    address, _, port = ways(cluster)[f"db/{service}"].rpartition(":")
    conninfo = (
        f"host={service} hostaddr={address} port={port} user=app dbname=appdb sslmode=verify-full "
        f"sslrootcert={path} connect_timeout=10"
    )
    process = await asyncio.create_subprocess_exec(
        *(str(one.binaries / "bin" / "psql"), "-XAtqc", sql, conninfo),
        env={"LD_LIBRARY_PATH": str(one.binaries / "lib"), "PGPASSWORD": password},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return out.decode().strip() if process.returncode == 0 else f"failed: {err.decode()}"


async def test_services_lead_where_their_selectors_say(pg: Cluster) -> None:
    await healthy(pg, "pg")

    async def known() -> bool:
        return {"db/pg-rw", "db/pg-ro", "db/pg-r"} <= ways(pg).keys()

    await until(known)
    assert await asked_through(pg, "pg-rw", "select pg_is_in_recovery(), current_user") == "f|app"
    assert await asked_through(pg, "pg-ro", "select pg_is_in_recovery()") == "t"
    # Somebody's own Service that selects nobody.
    body = {"metadata": {"name": "wrong"}, "spec": {"selector": {"role": "none"}, "ports": [{"port": 5432}]}}
    await pg.done("POST", "/api/v1/namespaces/db/services", body)

    async def wrong() -> bool:
        return "db/wrong" in ways(pg)

    await until(wrong)
    assert "failed" in await asked_through(pg, "wrong", "select 1")
