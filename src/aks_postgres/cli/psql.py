"""psql through the cluster's API server: no address of the database's is needed, and no password is shown."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
from collections.abc import Sequence
from typing import Any

from aks_postgres.cli.sandbox_client import PSQL_VARIABLE
from aks_postgres.database.objects import APP_SECRET, POSTGRES_API
from aks_postgres.exit_codes import CommandFailed, ExitCode
from aks_postgres.foreign_text import keep_secret
from aks_postgres.kubernetes.client import KubernetesApi, kubernetes_api
from aks_postgres.kubernetes.port_forward import forwarded
from aks_postgres.runs.session import run_session
from aks_postgres.spec.environment import EnvironmentSpec
from aks_postgres.tasks.preflight import locate

_PORT = 5432
_CONNECT_WITHIN_S = 30


def psql_program() -> str:
    """Return where psql is.

    Raises:
        CommandFailed: nowhere.
    """
    found = os.environ.get(PSQL_VARIABLE) or shutil.which("psql")
    if not found:
        raise CommandFailed(
            "psql isn't installed on this machine; install PostgreSQL's client (Debian: apt install "
            f"postgresql-client), or name it in {PSQL_VARIABLE}",
            ExitCode.BAD_INPUT,
        )
    return found


async def psql(
    spec: EnvironmentSpec, *, database: str | None, replica: bool, arguments: Sequence[str]
) -> int:
    """Run psql on an environment's database; its exit code.

    The password and the authority's certificate reach it in files that exist in memory only.

    Args:
        spec: the environment; name, region and subscription say which.
        database: to connect to; unset, the first one.
        replica: whether to ask one that only reads.
        arguments: for psql.

    Raises:
        CommandFailed: there is no database, or psql isn't installed.
    """
    program = psql_program()
    async with run_session(spec, read_only=True) as run:
        names = await locate(run.azure, spec)
        async with kubernetes_api(run.azure, names.resource_group, names.cluster) as api:
            live = await _cluster(api, spec, names.postgres_cluster)
            namespace, name = live["metadata"]["namespace"], live["metadata"]["name"]
            pod = await _pod(api, live, replica=replica)
            secret = await _data(api, namespace, APP_SECRET)
            authority = await _data(api, namespace, f"{name}-ca")
            keep_secret(secret["password"])
            first = ((live["spec"].get("bootstrap") or {}).get("initdb") or {}).get("database")
            async with forwarded(api, namespace, pod, _PORT) as port:
                host = f"{name}-{'ro' if replica else 'rw'}"
                line = ":".join(map(_escaped, (host, str(port), "*", secret["username"], secret["password"])))
                with _InMemory(line) as password, _InMemory(authority["ca.crt"]) as certificate:
                    parts = parts_of(
                        host,
                        port,
                        secret["username"],
                        database or first or "postgres",
                        certificate.path,
                        password.path,
                    )
                    return await _run(program, parts, arguments, (password.file, certificate.file))


def parts_of(
    host: str, port: int, user: str, database: str, certificate: str, password: str
) -> dict[str, str]:
    """What libpq connects by: verified TLS, within a bound.

    Args:
        host: the name that the server's certificate has.
        port: on this machine, as the address is.
        user: the role.
        database: to connect to.
        certificate: the file of the authority's certificate.
        password: the file of the password.
    """
    return {
        "host": host,
        "hostaddr": "127.0.0.1",
        "port": str(port),
        "user": user,
        "dbname": database,
        "sslmode": "verify-full",
        "sslrootcert": certificate,
        "passfile": password,
        # A server that is frozen takes the connection and says nothing, for which libpq waits without end:
        # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CONNECT-TIMEOUT
        "connect_timeout": str(_CONNECT_WITHIN_S),
    }


async def _run(program: str, parts: dict[str, str], arguments: Sequence[str], files: tuple[int, int]) -> int:
    quoted = " ".join(f"{key}='{_quoted(value)}'" for key, value in parts.items())
    # Ctrl-C is for psql, which cancels its query by it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)
    process = await asyncio.create_subprocess_exec(program, quoted, *arguments, pass_fds=files)
    return await process.wait()


async def _cluster(api: KubernetesApi, spec: EnvironmentSpec, name: str) -> Any:
    """The Cluster by its computed name, or the only one that is labelled as ours."""
    path = f"/apis/{POSTGRES_API}/clusters"
    found = await api.list_of(path, "Cluster", labelSelector="aks-postgres/lineage") or []
    named = [cluster for cluster in found if cluster["metadata"]["name"] == name]
    chosen = named or found
    if len(chosen) != 1:
        names = ", ".join(cluster["metadata"]["name"] for cluster in chosen)
        raise CommandFailed(
            f"{spec.name} in {spec.region} has several databases: {names}; give the spec with database.name"
            if chosen
            else f"{spec.name} in {spec.region} has no database; provision it with a spec that has the group database",
            ExitCode.BAD_INPUT,
        )
    return chosen[0]


async def _pod(api: KubernetesApi, live: Any, *, replica: bool) -> str:
    """The primary, as the operator says, or a replica that is ready."""
    namespace, name = live["metadata"]["namespace"], live["metadata"]["name"]
    primary = str((live.get("status") or {}).get("currentPrimary") or "")
    if not replica:
        if not primary:
            raise CommandFailed(f"Postgres cluster {name} has no primary now", ExitCode.FAILED)
        return primary
    pods = await api.list_of(
        f"/api/v1/namespaces/{namespace}/pods",
        "Pod",
        labelSelector=f"cnpg.io/cluster={name},cnpg.io/instanceRole=replica",
    )
    ready = [
        str(pod["metadata"]["name"])
        for pod in pods or []
        if any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in (pod.get("status") or {}).get("conditions") or []
        )
    ]
    if not ready:
        raise CommandFailed(f"Postgres cluster {name} has no replica that is ready", ExitCode.FAILED)
    return ready[0]


async def _data(api: KubernetesApi, namespace: str, name: str) -> dict[str, str]:
    live = await api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if live is None:
        raise CommandFailed(f"Secret {namespace}/{name} isn't there; run provision", ExitCode.FAILED)
    return {key: base64.b64decode(value).decode() for key, value in (live.get("data") or {}).items()}


def _escaped(text: str) -> str:
    # https://www.postgresql.org/docs/current/libpq-pgpass.html
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


class _InMemory:
    """A file without a name, for a child that inherits it; libpq wants a password's to be the owner's alone."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __enter__(self) -> _InMemory:
        self.file = os.memfd_create("psql")
        os.fchmod(self.file, 0o600)
        os.write(self.file, self._text.encode())
        self.path = f"/proc/self/fd/{self.file}"
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.file)
