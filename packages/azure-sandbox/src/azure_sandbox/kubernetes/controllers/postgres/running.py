"""What running servers are brought to: their configuration, replication slots, and passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers.postgres import configuration
from azure_sandbox.kubernetes.controllers.postgres.passwords import literal, quoted, unlogged, verifier
from azure_sandbox.kubernetes.controllers.postgres.servers import secret_value
from azure_sandbox.postgres.instance import Instance

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork

Json = dict[str, Any]


class Running:
    """Configures the running servers of one Cluster."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work
        self._passwords: dict[str, str] = {}

    def synchronous(self) -> str:
        """What `synchronous_standby_names` is to be."""
        cluster = self._work.cluster
        assert cluster is not None
        current = self._work.status.get("currentPrimary") or ""
        return configuration.synchronous(
            cluster["spec"], self._work.names(), current, self._work.ready(), self._work.name
        )

    async def configure(self, cluster: Json) -> None:
        """Bring the configuration of running servers to the spec, and passwords to their Secrets."""
        primary = self._work.primary()
        for name in self._work.names():
            served = self._work.instances[name]
            if served.facts is None:
                continue
            changed = self._work.servers.configure(
                served.server, cluster["spec"], primary.server if primary else None, self.synchronous()
            )
            if changed:
                await served.server.must("pg_ctl", "reload", "-D", str(served.server.data))
        if primary is not None and primary.facts is not None and not primary.facts["in_recovery"]:
            for name in self._work.names():
                if (
                    name != self._work.status.get("currentPrimary")
                    and configuration.slot(name) not in primary.facts["slots"]
                ):
                    await self._work.servers.ensure_slot(primary.server, name)
            await self._apply_passwords(cluster, primary.server)

    async def _apply_passwords(self, cluster: Json, server: Instance) -> None:
        """A Secret's password becomes the role's, if the Secret is one that the operator watches."""
        spec = cluster["spec"]
        bootstrap = spec.get("bootstrap") or {}
        wanted = bootstrap.get("initdb") or bootstrap.get("recovery") or {}
        owner = wanted.get("owner") or wanted.get("database") or ("" if "recovery" in bootstrap else "app")
        found = (
            []
            if not owner
            else [(owner, (wanted.get("secret") or {}).get("name") or f"{self._work.name}-app")]
        )
        if spec.get("enableSuperuserAccess"):
            found.append(
                (
                    "postgres",
                    (spec.get("superuserSecret") or {}).get("name") or f"{self._work.name}-superuser",
                )
            )
        for role, name in found:
            secret = self._work.store.get("secrets", self._work.namespace, name)
            password = secret_value(self._work.store, self._work.namespace, name, "password")
            if secret is None or password is None or self._passwords.get(role) == password:
                continue
            if role in self._passwords and "cnpg.io/reload" not in (secret["metadata"].get("labels") or {}):
                continue
            change = f"alter role {quoted(role)} with password {literal(verifier(password))};"
            await server.sql(unlogged(change))
            self._passwords[role] = password
