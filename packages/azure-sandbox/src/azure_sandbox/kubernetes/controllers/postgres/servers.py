"""Making servers: the first of a Cluster, and those that copy it; and changing their roles."""

from __future__ import annotations

import base64
import os
import pwd
import signal
from pathlib import Path
from typing import Any

from azure_sandbox.core.certificates import Authority
from azure_sandbox.kubernetes.controllers.postgres import configuration
from azure_sandbox.kubernetes.controllers.postgres.passwords import literal, quoted
from azure_sandbox.kubernetes.store import Store
from azure_sandbox.postgres.host import Host
from azure_sandbox.postgres.instance import Instance

Json = dict[str, Any]

# What pg_rewind needs of its source: https://www.postgresql.org/docs/current/app-pgrewind.html
REWIND = """
grant execute on function pg_catalog.pg_ls_dir(text, boolean, boolean) to streaming_replica;
grant execute on function pg_catalog.pg_stat_file(text, boolean) to streaming_replica;
grant execute on function pg_catalog.pg_read_binary_file(text) to streaming_replica;
grant execute on function pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) to streaming_replica;
"""


def secret_value(store: Store, namespace: str, name: str, key: str) -> str | None:
    """A Secret's value, or None."""
    secret = store.get("secrets", namespace, name) or {}
    found = (secret.get("data") or {}).get(key)
    return None if found is None else base64.b64decode(found).decode()


class Servers:
    """Makes and changes the servers of one Cluster.

    Args:
        host: where they run.
        folder: of the Cluster's certificate authority.
    """

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.authority = Authority(folder, "cnpg", keeps_key=False)

    def new(self, name: str, binaries: Path) -> Instance:
        """A server with an empty folder."""
        return Instance(name, self.host.new_folder(), self.host.new_address(), binaries, self.host.who)

    def certify(
        self, server: Instance, server_pair: tuple[bytes, bytes], client_pair: tuple[bytes, bytes]
    ) -> None:
        """Give a server its certificates."""
        for name, content in (
            ("server.crt", server_pair[0]),
            ("server.key", server_pair[1]),
            ("streaming_replica.crt", client_pair[0]),
            ("streaming_replica.key", client_pair[1]),
            ("client-ca.crt", self.authority.ca_pem),
            ("server-ca.crt", self.authority.ca_pem),
        ):
            server.write(server.certificates / name, content)

    def configure(
        self, server: Instance, spec: Json, primary: Instance | None, synchronous: str, **more: str
    ) -> bool:
        """Write a server's configuration for its place; whether it has changed.

        Args:
            server: whose.
            spec: of the Cluster.
            primary: whom it follows as a standby.
            synchronous: `synchronous_standby_names`.
            more: further settings, over everything.
        """
        wanted = configuration.settings(
            spec,
            server.name,
            int(server.binaries.name.partition(".")[0]),
            server.address,
            str(server.sockets),
            str(server.certificates),
            str(server.log.parent),
        )
        wanted |= {
            "synchronous_standby_names": synchronous,
            "archive_command": server.ask_command("archive", "%f", "%p"),
            "restore_command": server.ask_command("restore", "%f", "%p"),
            "recovery_target_timeline": "latest",
            "primary_slot_name": configuration.slot(server.name),
            "primary_conninfo": self.conninfo(server, primary) if primary not in (None, server) else "",
        }
        wanted |= more
        accounts = sorted({self.host.who.name, pwd.getpwuid(os.geteuid()).pw_name})
        return server.configure(
            wanted, configuration.host_based(spec), configuration.identities(accounts, spec)
        )

    def conninfo(self, server: Instance, primary: Instance | None, database: str = "postgres") -> str:
        """How a server connects to its primary."""
        assert primary is not None
        tls = server.certificates
        return (
            f"host={primary.address} port=5432 user=streaming_replica dbname={database} "
            f"application_name={server.name} sslmode=verify-ca sslrootcert={tls}/server-ca.crt "
            f"sslcert={tls}/streaming_replica.crt sslkey={tls}/streaming_replica.key"
        )

    async def initialize(self, server: Instance, spec: Json) -> None:
        """initdb, the roles, the application's database: the first primary. Passwords are set once it runs.

        Raises:
            PostgresError: a program or a statement failed.
        """
        wanted = (spec.get("bootstrap") or {}).get("initdb") or {}
        major = int(server.binaries.name.partition(".")[0])
        checksums = wanted.get("dataChecksums")
        options = [
            "-D",
            str(server.data),
            "-U",
            "postgres",
            "--auth=peer",
            # A sandbox's data doesn't outlive it, so no crash of the machine has to be survived here.
            "--no-sync",
            f"--encoding={wanted.get('encoding', 'UTF8')}",
        ]
        options += [
            f"--lc-collate={wanted.get('localeCollate', 'C')}",
            f"--lc-ctype={wanted.get('localeCType', 'C')}",
        ]
        if checksums:
            options.append("--data-checksums")
        elif checksums is False and major >= 18:
            options.append("--no-data-checksums")
        if wanted.get("walSegmentSize"):
            options.append(f"--wal-segsize={wanted['walSegmentSize']}")
        await server.must("initdb", *options)
        # Nothing is archived, and no standby waited for, before there is a cluster.
        self.configure(server, spec, None, "", archive_mode="off")
        await server.start()
        await server.wait_until_it_answers()
        database, owner = (
            wanted.get("database") or "app",
            wanted.get("owner") or wanted.get("database") or "app",
        )
        text = "create role streaming_replica replication login;\n" + REWIND
        text += f"create role {quoted(owner)} login;\n"
        text += "".join(f"{line.rstrip(';')};\n" for line in wanted.get("postInitSQL") or [])
        await server.sql(text, within_s=60)
        await server.sql(f"create database {quoted(database)} owner {quoted(owner)};\n", within_s=60)
        after = "".join(f"{line.rstrip(';')};\n" for line in wanted.get("postInitApplicationSQL") or [])
        after += "".join(
            f"create extension if not exists {name};\n"
            for name in configuration.used_libraries(spec)
            if configuration.LIBRARIES[name]
        )
        if after:
            await server.sql(after, database, within_s=60)
        await server.stop(signal.SIGINT)

    async def copy(self, server: Instance, primary: Instance, spec: Json, synchronous: str) -> None:
        """pg_basebackup of the primary, ready to follow it.

        Raises:
            PostgresError: it failed.
        """
        await self.ensure_slot(primary, server.name)
        await server.must(
            "pg_basebackup",
            *("-D", str(server.data), "-X", "stream", "-c", "fast", "-S", configuration.slot(server.name)),
            "--no-sync",
            *("-d", self.conninfo(server, primary)),
            within_s=600,
        )
        self.follow(server, primary, spec, synchronous)

    def follow(self, server: Instance, primary: Instance, spec: Json, synchronous: str) -> None:
        """Let a stopped server be a standby."""
        self.configure(server, spec, primary, synchronous)
        server.write(server.data / "standby.signal", "")
        # What a copy has of its source's own settings would lead it astray.
        auto = server.data / "postgresql.auto.conf"
        if auto.exists() and "primary_conninfo" in auto.read_text():
            server.write(auto, "")

    async def ensure_slot(self, primary: Instance, name: str) -> None:
        """Let the primary keep what a standby hasn't got yet."""
        slot = literal(configuration.slot(name))
        await primary.sql(
            f"select pg_create_physical_replication_slot({slot}, true) where not exists "
            f"(select from pg_replication_slots where slot_name = {slot})"
        )

    async def rewind(self, server: Instance, primary: Instance, spec: Json, synchronous: str) -> None:
        """Let a former primary follow the one that took over from it.

        Raises:
            PostgresError: pg_rewind failed.
        """
        # As the single-user recovery that pg_rewind may start reads it, too.
        self.configure(server, spec, primary, synchronous)
        await self.ensure_slot(primary, server.name)
        source = f"host={primary.sockets} port=5432 user=postgres dbname=postgres"
        await server.must("pg_rewind", "-D", str(server.data), "--source-server", source)
        # pg_rewind copies the source's configuration over the server's own.
        self.follow(server, primary, spec, synchronous)
