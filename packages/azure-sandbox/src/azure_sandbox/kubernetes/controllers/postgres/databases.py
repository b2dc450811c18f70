"""Database and DatabaseRole objects, and the roles of a Cluster's own spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers.postgres import words
from azure_sandbox.kubernetes.controllers.postgres.passwords import literal, quoted, unlogged, verifier
from azure_sandbox.kubernetes.controllers.postgres.servers import secret_value
from azure_sandbox.postgres.instance import PostgresError

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork
    from azure_sandbox.postgres.instance import Instance

Json = dict[str, Any]

FLAGS = {
    "login": "login",
    "superuser": "superuser",
    "createdb": "createdb",
    "createrole": "createrole",
    "replication": "replication",
    "bypassrls": "bypassrls",
}


class Databases:
    """The databases and roles of one Cluster."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work
        self._applied: dict[str, tuple[Any, ...]] = {}

    async def look(self) -> None:
        """Apply what has changed since it was applied, roles first."""
        primary = self._work.primary()
        if primary is None or primary.facts is None or primary.facts["in_recovery"]:
            return
        for role in ((self._work.cluster or {"spec": {}})["spec"].get("managed") or {}).get("roles") or []:
            await self._managed(role, primary.server)
        for key, apply in ((words.ROLES, self._role), (words.DATABASES, self._database)):
            for obj in self._work.store.all(key, self._work.namespace):
                if (obj["spec"].get("cluster") or {}).get("name") == self._work.name:
                    await self._object(key, obj, primary.server, apply)

    async def _object(self, key: str, obj: Json, server: Instance, apply: Any) -> None:
        metadata = obj["metadata"]
        mark = (metadata["uid"], metadata.get("generation"), self._password_of(obj["spec"]))
        if self._applied.get(metadata["uid"]) == mark:
            return
        status: Json = {"observedGeneration": metadata.get("generation", 1), "applied": True}
        try:
            await apply(obj["spec"], server)
            self._applied[metadata["uid"]] = mark
        except PostgresError as error:
            status |= {"applied": False, "message": str(error)}
        self._work.controller.set_status(key, obj, status, words.INSTANCE_MANAGER)

    def _password_of(self, spec: Json) -> str | None:
        name = (spec.get("passwordSecret") or {}).get("name")
        return secret_value(self._work.store, self._work.namespace, name, "password") if name else None

    async def _managed(self, role: Json, server: Instance) -> None:
        mark = (str(role), self._password_of(role))
        if self._applied.get(f"role {role['name']}") != mark:
            await self._role(role, server)
            self._applied[f"role {role['name']}"] = mark

    async def _role(self, spec: Json, server: Instance) -> None:
        name = spec["name"]
        if name in ("postgres", "streaming_replica") or name.startswith("pg_"):
            raise PostgresError(f'role "{name}" is reserved')
        if spec.get("ensure") == "absent":
            await server.sql(f"drop role if exists {quoted(name)};")
            return
        options = [word if spec.get(field) else f"no{word}" for field, word in FLAGS.items()]
        options.append("inherit" if spec.get("inherit", True) else "noinherit")
        options.append(f"connection limit {int(spec.get('connectionLimit', -1))}")
        password = None
        if (spec.get("passwordSecret") or {}).get("name"):
            password = self._password_of(spec)
            if password is None:
                raise PostgresError(f"secret {spec['passwordSecret']['name']} not found")
            options.append(f"password {literal(verifier(password))}")
        elif spec.get("disablePassword"):
            options.append("password null")
        if spec.get("validUntil"):
            options.append(f"valid until {literal(str(spec['validUntil']))}")
        known = await server.sql(f"select 1 from pg_roles where rolname = {literal(name)}")
        text = f"{'alter' if known else 'create'} role {quoted(name)} with {' '.join(options)};\n"
        if password is not None:
            text = unlogged(text)
        text += "".join(f"grant {quoted(group)} to {quoted(name)};\n" for group in spec.get("inRoles") or [])
        await server.sql(text)

    async def _database(self, spec: Json, server: Instance) -> None:
        name, owner = spec["name"], spec["owner"]
        if name in ("postgres", "template0", "template1"):
            raise PostgresError(f'database name "{name}" is reserved')
        known = await server.sql(f"select 1 from pg_database where datname = {literal(name)}")
        if spec.get("ensure") == "absent":
            await server.sql(f"drop database if exists {quoted(name)} with (force);")
            return
        if known:
            await server.sql(f"alter database {quoted(name)} owner to {quoted(owner)};")
        else:
            options = f" owner {quoted(owner)}"
            for field, word in (
                ("template", "template"),
                ("encoding", "encoding"),
                ("localeCollate", "lc_collate"),
            ):
                if spec.get(field):
                    options += f" {word} {literal(str(spec[field]))}"
            await server.sql(f"create database {quoted(name)}{options};", within_s=60)
        for extension in spec.get("extensions") or []:
            verb = (
                "drop extension if exists"
                if extension.get("ensure") == "absent"
                else "create extension if not exists"
            )
            await server.sql(f"{verb} {quoted(extension['name'])};", name, within_s=60)
