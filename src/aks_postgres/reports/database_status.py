"""A database as it is found in a cluster: data only, and never a password."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aks_postgres.reports.outputs import Outputs


class FoundDatabase(Outputs):
    """One Postgres cluster: how it is, how to connect, where its backups are.

    What the operator doesn't say is empty or None, and counts as a problem where a healthy one says it.
    """

    namespace: str
    cluster: str
    phase: str
    instances: int
    ready: int
    primary: str
    image: str
    host: str
    read_only_host: str
    pooler_hosts: tuple[str, ...]
    """PgBouncer's, in the cluster."""
    public_host: str | None
    databases: tuple[str, ...]
    owner: str
    password_secret: str
    ca_secret: str
    backups: str | None
    recoverable_since: str
    last_backup: str
    archiving: str
    """True, False or empty, as the condition says."""
    archiving_problem: str
    certificate_ends: datetime | None
    is_ready: bool
    held: str
    """That a person told the operator to leave it as it is, such as `is hibernated`; empty where nobody did."""
    not_proven: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What isn't as it should be."""
        name = f"Postgres cluster {self.namespace}/{self.cluster}"
        found = []
        if self.held:
            found.append(f"{name} {self.held}")
        elif not self.is_ready:
            primary = "" if self.primary else ", none of them the primary"
            found.append(
                f"{name}: {self.ready} of {self.instances} instances are ready{primary} "
                f"({self.phase or 'no phase yet'})"
            )
        if self.backups is not None:
            if self.archiving != "True":
                found.append(
                    f"{name}: WAL isn't archived ({self.archiving_problem or 'nothing is said of it'})"
                )
            if not self.last_backup:
                found.append(f"{name}: no backup is known")
        # The operator renews seven days before: https://cloudnative-pg.io/documentation/1.30/certificates/
        if self.certificate_ends and self.certificate_ends - datetime.now(UTC) < timedelta(days=6):
            found.append(
                f"{name}: a certificate ends {self.certificate_ends:%Y-%m-%d}, and the operator hasn't renewed it"
            )
        return tuple(found)
