"""Poolers: their Deployment, Service and account, and PgBouncer's role in PostgreSQL.

No PgBouncer runs: while a pod of the Deployment is ready, its Service leads straight to the instance that the type
names, so nothing is pooled, and `poolMode` and parameters have no effect. Left out: its metrics, PodMonitor, pause,
containers of a template, and secrets of one's own.

https://github.com/cloudnative-pg/cloudnative-pg at v1.30.0: pkg/specs/pgbouncer, internal/controller/pooler_status.go,
internal/management/controller/instance_controller.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers.life import owner_reference
from azure_sandbox.kubernetes.controllers.postgres import words
from azure_sandbox.postgres.instance import PostgresError

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork

Json = dict[str, Any]

# pkg/versions/versions.go.
IMAGE = "ghcr.io/cloudnative-pg/pgbouncer:1.25.1"
PORT, METRICS_PORT = 5432, 9127
ROLE = "cnpg_pooler_pgbouncer"
_SQL = f"""
do $$ begin
  if not exists (select from pg_roles where rolname = '{ROLE}') then create role {ROLE} with login; end if;
end $$;
grant connect on database postgres to {ROLE};
create or replace function public.user_search(uname text) returns table (usename name, passwd text)
  language sql security definer as 'select usename, passwd from pg_catalog.pg_shadow where usename = $1;';
revoke all on function public.user_search(text) from public;
grant execute on function public.user_search(text) to {ROLE};
"""


class Poolers:
    """The Poolers of one Cluster."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work
        self._has_role = False

    def all(self) -> list[Json]:
        """Those that name the Cluster."""
        return [
            obj
            for obj in self._work.store.all(words.POOLERS, self._work.namespace)
            if (obj["spec"].get("cluster") or {}).get("name") == self._work.name
        ]

    async def look(self) -> None:
        """Make what a Pooler needs, and say how it is."""
        poolers = self.all()
        primary = self._work.primary()
        if poolers and not self._has_role and primary is not None and primary.ready:
            try:
                await primary.server.sql(_SQL)
                self._has_role = True
            except PostgresError:
                return
        for pooler in poolers:
            self._furnish(pooler)
            self._say(pooler)
        names = sorted(pooler["metadata"]["name"] for pooler in poolers)
        found = {"pgBouncerIntegration": {"secrets": [f"{self._work.name}-pooler"]}} if names else None
        if self._work.status.get("poolerIntegrations") != found:
            self._work.update(poolerIntegrations=found)

    def _furnish(self, pooler: Json) -> None:
        name, spec, controller = pooler["metadata"]["name"], pooler["spec"], self._work.controller
        at = {"name": name, "namespace": self._work.namespace}
        labels = {
            words.CLUSTER_LABEL: self._work.name,
            words.POOLER_LABEL: name,
            words.POD_ROLE_LABEL: "pooler",
            "app.kubernetes.io/managed-by": words.OPERATOR,
        }
        owned = {**at, "labels": labels, "ownerReferences": [owner_reference(pooler)]}
        if not spec.get("serviceAccountName"):
            controller.make("serviceaccounts", {"metadata": owned}, words.OPERATOR)
        template = (spec.get("template") or {}).get("spec") or {}
        container = {
            "name": "pgbouncer",
            "image": (spec.get("pgbouncer") or {}).get("image") or IMAGE,
            "command": ["/controller/manager", "pgbouncer", "run"],
            "ports": [
                {"name": "pgbouncer", "containerPort": PORT, "protocol": "TCP"},
                {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
            ],
        }
        pod_spec = {
            **{key: value for key, value in template.items() if key != "containers"},
            "serviceAccountName": spec.get("serviceAccountName") or name,
            "containers": [container],
        }
        selector = {words.POOLER_LABEL: name}
        wanted = {
            "replicas": int(spec.get("instances", 1)),
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec},
        }
        live = self._work.store.get("deployments.apps", self._work.namespace, name)
        if live is None:
            controller.make("deployments.apps", {"metadata": owned, "spec": wanted}, words.OPERATOR)
        elif live["spec"].get("replicas") != wanted["replicas"]:

            def scale(obj: Json) -> None:
                obj["spec"]["replicas"] = wanted["replicas"]

            controller.objects.write("deployments.apps", self._work.namespace, name, scale, words.OPERATOR)
        port = {"name": "pgbouncer", "port": PORT, "targetPort": "pgbouncer", "protocol": "TCP"}
        service = {"type": "ClusterIP", "selector": selector, "ports": [port]}
        controller.make("services", {"metadata": owned, "spec": service}, words.OPERATOR)

    def _say(self, pooler: Json) -> None:
        name = pooler["metadata"]["name"]
        deployment = self._work.store.get("deployments.apps", self._work.namespace, name) or {}
        image = (pooler["spec"].get("pgbouncer") or {}).get("image") or IMAGE
        status = {
            "phase": "active",
            "instances": (deployment.get("status") or {}).get("replicas", 0),
            "image": image,
        }
        before = {key: value for key, value in (pooler.get("status") or {}).items() if key in status}
        if status != before:
            self._work.controller.set_status(words.POOLERS, pooler, status, words.OPERATOR)
