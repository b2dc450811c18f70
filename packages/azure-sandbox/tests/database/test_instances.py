"""A Cluster is three real servers: made, asked, killed, frozen, switched over."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import ssl
import struct
from pathlib import Path
from typing import Any

import pytest

from azure_sandbox.kubernetes.controllers.postgres.passwords import verifier
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


async def test_a_healthy_cluster_is_left_alone(pg: Cluster) -> None:
    """A status that is written again and again would wake its watchers, and keep a core busy."""
    before = await healthy(pg, "pg")
    await asyncio.sleep(2)
    after = await pg.done("GET", f"{CLUSTERS}/pg")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_a_killed_primary_is_replaced_and_comes_back_as_a_standby(pg: Cluster) -> None:
    before = await healthy(pg, "pg")
    old = before["status"]["currentPrimary"]
    await server(pg, old).sql(
        # As a client commits, who waits for a replica; the stand-in's own set-up doesn't.
        "set synchronous_commit = on; create table kept (n int); insert into kept select generate_series(1, 100)",
        "appdb",
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
        assert not running.is_open()
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


async def patched(cluster: Cluster, path: str, body: Json) -> Json:
    found: Json = await cluster.done("PATCH", path, body, "application/merge-patch+json")
    return found


async def test_a_switchover_loses_nothing(pg: Cluster) -> None:
    """What `kubectl cnpg promote` does: it writes the new target into the status."""
    before = await healthy(pg, "pg")
    old = before["status"]["currentPrimary"]
    new = next(name for name in before["status"]["instanceNames"] if name != old)
    await server(pg, old).sql("create table moved as select generate_series(1, 50) n", "appdb")
    status = {
        "targetPrimary": new,
        "phase": "Switchover in progress",
        "phaseReason": f"Switching over to {new}",
    }
    await patched(pg, f"{CLUSTERS}/pg/status", {"status": status})

    async def moved() -> bool:
        return bool((await pg.done("GET", f"{CLUSTERS}/pg"))["status"]["currentPrimary"] == new)

    await until(moved)
    await healthy(pg, "pg")
    assert await server(pg, new).sql("select count(*) from moved", "appdb") == "50"
    assert await server(pg, old).sql("select pg_is_in_recovery()") == "t"
    lease = await pg.done("GET", "/apis/coordination.k8s.io/v1/namespaces/db/leases/pg")
    assert lease["spec"]["holderIdentity"] == new


async def test_a_frozen_primary_is_given_up(pg: Cluster) -> None:
    before = await healthy(pg, "pg")
    old = before["status"]["currentPrimary"]
    pid = server(pg, old).process.pid
    os.kill(pid, signal.SIGSTOP)

    async def moved() -> bool:
        return bool((await pg.done("GET", f"{CLUSTERS}/pg"))["status"]["currentPrimary"] != old)

    try:
        await until(moved)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    after = await healthy(pg, "pg")
    assert await server(pg, after["status"]["currentPrimary"]).sql("select pg_is_in_recovery()") == "f"


async def test_databases_roles_and_passwords_follow_their_objects(pg: Cluster) -> None:
    primary = server(pg, (await healthy(pg, "pg"))["status"]["currentPrimary"])
    group = "/apis/postgresql.cnpg.io/v1/namespaces/db"
    secret = {"metadata": {"name": "reader"}, "stringData": {"username": "reader", "password": "secret-1"}}
    await pg.done("POST", "/api/v1/namespaces/db/secrets", secret)
    role = {"cluster": {"name": "pg"}, "name": "reader", "login": True, "passwordSecret": {"name": "reader"}}
    api = {"apiVersion": "postgresql.cnpg.io/v1"}
    await pg.done(
        "POST",
        f"{group}/databaseroles",
        {**api, "kind": "DatabaseRole", "metadata": {"name": "r"}, "spec": role},
    )
    made = {
        "cluster": {"name": "pg"},
        "name": "orders",
        "owner": "reader",
        "extensions": [{"name": "pg_trgm"}],
    }
    await pg.done(
        "POST", f"{group}/databases", {**api, "kind": "Database", "metadata": {"name": "d"}, "spec": made}
    )
    hashed_already = "SCRAM-SHA-256$4096:c2FsdA==$" + "A" * 43 + "=:" + "A" * 43 + "="
    await pg.done(
        "POST",
        "/api/v1/namespaces/db/secrets",
        {"metadata": {"name": "kept"}, "stringData": {"username": "kept", "password": hashed_already}},
    )
    kept = {"cluster": {"name": "pg"}, "name": "kept", "passwordSecret": {"name": "kept"}}
    await pg.done(
        "POST",
        f"{group}/databaseroles",
        {**api, "kind": "DatabaseRole", "metadata": {"name": "k"}, "spec": kept},
    )
    wrong = {"cluster": {"name": "pg"}, "name": "bills", "owner": "nobody-there"}
    await pg.done(
        "POST", f"{group}/databases", {**api, "kind": "Database", "metadata": {"name": "w"}, "spec": wrong}
    )

    async def applied() -> bool:
        found = [
            await pg.done("GET", f"{group}/{obj}")
            for obj in ("databaseroles/r", "databaseroles/k", "databases/d", "databases/w")
        ]
        return [(obj.get("status") or {}).get("applied") for obj in found] == [True, True, True, False]

    await until(applied)
    assert (
        'role "nobody-there" does not exist'
        in (await pg.done("GET", f"{group}/databases/w"))["status"]["message"]
    )
    owner = "select pg_get_userbyid(datdba) from pg_database where datname = 'orders'"
    assert await primary.sql(owner) == "reader"
    assert await primary.sql("select count(*) from pg_extension where extname = 'pg_trgm'", "orders") == "1"
    hashed = "select rolpassword from pg_authid where rolname = 'app'"
    before = await primary.sql(hashed)
    await patched(pg, "/api/v1/namespaces/db/secrets/pg-app", {"stringData": {"password": "secret-2"}})

    async def changed() -> bool:
        return bool(await primary.sql(hashed) != before)

    await until(changed)
    assert await primary.sql("select rolpassword from pg_authid where rolname = 'kept'") == hashed_already
    # PostgreSQL takes it for the password, and has heard neither it nor, in its log, what it keeps.
    for user, password in (("app", "secret-2"), ("reader", "secret-1")):
        done = await primary.program(
            "psql",
            "-XAtqc",
            "select 1",
            f"host={primary.address} user={user} password={password} dbname=appdb",
        )
        assert (done.code, done.out.strip()) == (0, "1"), done.last_words
    log = primary.log.read_text()
    assert 'create database \\"orders\\"' in log  # log_statement is ddl
    assert "secret-" not in log
    assert "SCRAM-SHA-256$" not in log
    asked = await primary.sql("select string_agg(query, ' ') from pg_stat_statements", "appdb")
    assert "SCRAM-SHA-256$" in asked
    assert "secret-" not in asked


@pytest.mark.parametrize("password", ["pencil", "pass wörd\u00ad", "Ⅸ\u00a0I"])
async def test_a_verifier_is_the_one_that_postgres_would_make(pg: Cluster, password: str) -> None:
    """By PostgreSQL's own, of the same salt."""
    primary = server(pg, (await healthy(pg, "pg"))["status"]["currentPrimary"])
    made = await primary.sql(
        f"begin; create role hashed; alter role hashed password '{password}'; "
        "select rolpassword from pg_authid where rolname = 'hashed'; rollback;"
    )
    salt = base64.b64decode(made.partition(":")[2].partition("$")[0])
    assert verifier(password, salt) == made
    assert verifier(made) == made


async def test_volumes_are_bound_to_the_zone_of_their_first_node(pg: Cluster) -> None:
    claim = await pg.done("GET", "/api/v1/namespaces/db/persistentvolumeclaims/pg-1")
    assert claim["status"]["phase"] == "Bound"
    volume = await pg.done("GET", f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    pod = await pg.done("GET", "/api/v1/namespaces/db/pods/pg-1")
    node = await pg.done("GET", f"/api/v1/nodes/{pod['spec']['nodeName']}")
    assert term["matchExpressions"][0]["values"] == [
        node["metadata"]["labels"]["topology.kubernetes.io/zone"]
    ]


@pytest.mark.parametrize(
    ("spec", "phase", "says"),
    [
        (
            {"plugins": [{"name": "barman-cloud.cloudnative-pg.io"}]},
            "Cluster cannot proceed to reconciliation due to an unknown plugin being required",
            "Unknown plugin",
        ),
        (
            {"imageName": None, "imageCatalogRef": {"kind": "ImageCatalog", "name": "none", "major": 18}},
            "Cluster has incomplete or invalid image catalog",
            "not found",
        ),
    ],
)
async def test_what_stops_a_cluster_is_its_phase(cluster: Cluster, spec: Json, phase: str, says: str) -> None:
    obj = body("stopped", **{"instances": 1, "postgresql": {}, **spec})
    if obj["spec"]["imageName"] is None:
        del obj["spec"]["imageName"]
    await cluster.done("POST", CLUSTERS, obj)

    async def stopped() -> Json | None:
        status: Json = (await cluster.done("GET", f"{CLUSTERS}/stopped")).get("status") or {}
        return status if status.get("phase") == phase else None

    try:
        assert says in (await until(stopped))["phaseReason"]
    finally:
        await cluster.done("DELETE", f"{CLUSTERS}/stopped")


async def test_a_version_that_is_not_installed_can_not_be_pulled(cluster: Cluster) -> None:
    image = "ghcr.io/cloudnative-pg/postgresql:13.2-standard"
    await cluster.done("POST", CLUSTERS, body("old", instances=1, postgresql={}, imageName=image))

    async def waiting() -> str | None:
        pods = (await cluster.done("GET", "/api/v1/namespaces/db/pods"))["items"]
        for pod in pods:
            for status in pod["status"].get("containerStatuses") or []:
                if pod["metadata"]["name"] == "old-1" and "waiting" in status["state"]:
                    return str(status["state"]["waiting"]["reason"])
        return None

    assert await until(waiting) == "ImagePullBackOff"
    await cluster.done("DELETE", f"{CLUSTERS}/old")


async def test_the_operators_webhook_refuses_what_it_would_not_take(pg: Cluster) -> None:
    fixed = body("refused", postgresql={"parameters": {"archive_command": "true"}})
    answer = await pg.send("POST", CLUSTERS, fixed)
    assert answer.error == (422, "Invalid")
    assert answer.body["message"].startswith(
        'admission webhook "vcluster.cnpg.io" denied the request: Cluster.'
    )
    patch = {"spec": {"storage": {"size": "512Mi"}}}
    answer = await pg.send("PATCH", f"{CLUSTERS}/pg", patch, "application/merge-patch+json")
    assert (answer.status, "can't shrink existing storage from 1Gi" in answer.body["message"]) == (422, True)


async def test_kubectl_opens_psql_with_and_without_a_terminal(pg: Cluster, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl isn't installed")
    primary = (await healthy(pg, "pg"))["status"]["currentPrimary"]
    command = [
        kubectl,
        "--kubeconfig",
        str(pg.kubeconfig(tmp_path)),
        "-n",
        "db",
        "exec",
        primary,
        "-c",
        "postgres",
    ]

    async def ask(*more: str, sent: bytes = b"") -> bytes:
        pipe, merged = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
        process = await asyncio.create_subprocess_exec(
            *command, *more, stdin=pipe, stdout=pipe, stderr=merged
        )
        out, _ = await asyncio.wait_for(process.communicate(sent), 120)
        return out

    assert await ask("--", "psql", "-XAtc", "select 6 * 7") == b"42\n"
    assert await ask("-i", "--", "psql", "-XAt", sent=b"select 'typed';\n") == b"typed\n"
    assert b"executable file not found" in await ask("--", "bash", "-c", "id")
    from kubernetes.stream import stream
    from kubernetes.stream.ws_client import RESIZE_CHANNEL

    def talk() -> str:
        call = core(pg).connect_get_namespaced_pod_exec
        options = {"stdout": True, "stderr": False, "stdin": True, "tty": True, "_preload_content": False}
        running = stream(call, primary, "db", command=["psql", "-X"], container="postgres", **options)
        # Without a size psql pages what it prints, and the pager takes what is typed next.
        running.write_channel(RESIZE_CHANNEL, '{"Width": 80, "Height": 24}')
        running.write_stdin("select 'seen on ' || 'a terminal';\n\\q\n")
        running.run_forever(timeout=60)
        assert not running.is_open()
        return str(running.read_stdout())

    said = await asyncio.to_thread(talk)
    assert "seen on a terminal" in said
    assert "postgres=#" in said
