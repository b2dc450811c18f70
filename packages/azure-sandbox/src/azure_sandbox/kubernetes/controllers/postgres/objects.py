"""The objects that a Cluster gives rise to: Secrets, Services, accounts, budgets, its Lease, and its Pods' labels."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers.postgres import bodies, configuration, words
from azure_sandbox.kubernetes.times import micro_stamp

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork

Json = dict[str, Any]


class Objects:
    """Makes one Cluster's objects, and brings back those that were changed or deleted."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work
        self.pairs: dict[str, tuple[bytes, bytes]] = {}
        """Certificates and keys, of the servers and of the replicas."""

    def pods(self) -> list[Json]:
        """The Pods of the Cluster's instances."""
        labels = {words.CLUSTER_LABEL: self._work.name, words.POD_ROLE_LABEL: "instance"}
        return [
            pod
            for pod in self._work.store.all("pods", self._work.namespace)
            if labels.items() <= (pod["metadata"].get("labels") or {}).items()
            and any(owner["uid"] == self._work.uid for owner in pod["metadata"].get("ownerReferences") or [])
        ]

    def furnish(self, cluster: Json) -> None:
        """Make the objects that a Cluster gives rise to, and bring back those that were changed or deleted."""
        self._make_service_account(cluster)
        if not self.pairs:
            self._make_certificates(cluster)
        self._make_passwords(cluster)
        for service in bodies.services(cluster):
            self._ensure_service(service)
        for budget in bodies.disruption_budgets(cluster):
            self._work.controller.make("poddisruptionbudgets.policy", budget, words.OPERATOR)

    def _make_certificates(self, cluster: Json) -> None:
        authority = self._work.servers.authority
        server = authority.issue(bodies.server_names(cluster), f"{self._work.name}-rw")
        replica = authority.issue_client("streaming_replica")
        self.pairs = {"server": server, "replica": replica}
        tls = ("tls.crt", "tls.key")
        for name, kind, data in (
            ("ca", "Opaque", {"ca.crt": authority.ca_pem, "ca.key": authority.key_pem}),
            ("server", "kubernetes.io/tls", dict(zip(tls, server, strict=True))),
            ("replication", "kubernetes.io/tls", dict(zip(tls, replica, strict=True))),
        ):
            metadata = bodies.metadata(cluster, f"{self._work.name}-{name}")
            secret = {"metadata": metadata, "type": kind, "data": bodies.encoded(data)}
            self._work.controller.make("secrets", secret, words.OPERATOR)

    def _make_passwords(self, cluster: Json) -> None:
        spec = cluster["spec"]
        bootstrap = spec.get("bootstrap") or {}
        wanted = bootstrap.get("initdb") or bootstrap.get("recovery") or {}
        # A recovered cluster has the roles that it had, unless its owner is named.
        has_owner = "recovery" not in bootstrap or wanted.get("owner")
        if has_owner and not (wanted.get("secret") or {}).get("name"):
            database = wanted.get("database") or "app"
            self._make_password(cluster, "app", wanted.get("owner") or database, database)
        if spec.get("enableSuperuserAccess") and not (spec.get("superuserSecret") or {}).get("name"):
            self._make_password(cluster, "superuser", "postgres", "*")

    def _make_service_account(self, cluster: Json) -> None:
        spec = cluster["spec"]
        if spec.get("serviceAccountName"):
            return
        template = (spec.get("serviceAccountTemplate") or {}).get("metadata") or {}
        live = self._work.store.get("serviceaccounts", self._work.namespace, self._work.name)
        if live is None:
            made = bodies.metadata(cluster, self._work.name, template.get("labels"))
            made["annotations"] = {**made.get("annotations", {}), **(template.get("annotations") or {})}
            self._work.controller.make("serviceaccounts", {"metadata": made}, words.OPERATOR)
            return

        def change(obj: Json) -> None:
            for field in ("labels", "annotations"):
                if template.get(field):
                    obj["metadata"][field] = {**(obj["metadata"].get(field) or {}), **template[field]}

        self._work.controller.objects.write(
            "serviceaccounts", self._work.namespace, self._work.name, change, words.OPERATOR
        )

    def _make_password(self, cluster: Json, kind: str, user: str, database: str) -> None:
        name = f"{self._work.name}-{kind}"
        if self._work.store.get("secrets", self._work.namespace, name) is None:
            password = secrets.token_urlsafe(48)
            body = bodies.app_secret(cluster, name, user, database, password, kind)
            self._work.controller.make("secrets", body, words.OPERATOR)

    def _ensure_service(self, wanted: Json) -> None:
        name = wanted["metadata"]["name"]
        if self._work.store.get("services", self._work.namespace, name) is None:
            self._work.controller.make("services", wanted, words.OPERATOR)
            return

        def change(obj: Json) -> None:
            obj["spec"]["selector"] = wanted["spec"]["selector"]
            obj["spec"]["type"] = wanted["spec"].get("type", "ClusterIP")
            for field in ("labels", "annotations"):
                if wanted["metadata"].get(field):
                    obj["metadata"][field] = {
                        **(obj["metadata"].get(field) or {}),
                        **wanted["metadata"][field],
                    }
            for field in ("loadBalancerSourceRanges", "externalTrafficPolicy"):
                if field in wanted["spec"]:
                    obj["spec"][field] = wanted["spec"][field]

        self._work.controller.objects.write("services", self._work.namespace, name, change, words.OPERATOR)

    def label_pods(self) -> None:
        """Let each Pod's labels say its role: the primary is whom the status names, and who says so itself."""
        status = self._work.status
        current, target = status.get("currentPrimary"), status.get("targetPrimary")
        for pod in self.pods():
            name = pod["metadata"]["name"]
            role = words.PRIMARY if name == current else words.REPLICA
            if name == current and target == words.PENDING_FAILOVER:
                role = "unhealthy"

            def change(obj: Json, role: str = role) -> None:
                obj["metadata"]["labels"] |= {words.ROLE_LABEL: role, words.OLD_ROLE_LABEL: role}

            self._work.controller.objects.write("pods", self._work.namespace, name, change, words.OPERATOR)

    def hold_lease(self, holder: str) -> None:
        """The Lease of the Cluster's name says who the primary is, since 1.30."""
        now = micro_stamp(self._work.life.clock)
        cluster = self._work.cluster
        if cluster is None:
            return
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "acquireTime": now, "renewTime": now}
        self._work.controller.make(
            "leases.coordination.k8s.io",
            {"metadata": bodies.metadata(cluster, self._work.name), "spec": spec},
        )

        def change(obj: Json) -> None:
            transitions = obj["spec"].get("leaseTransitions", 0)
            if obj["spec"].get("holderIdentity") != holder:
                obj["spec"] = {**spec, "leaseTransitions": transitions + 1}

        self._work.controller.objects.write(
            "leases.coordination.k8s.io",
            self._work.namespace,
            self._work.name,
            change,
            words.INSTANCE_MANAGER,
        )

    def make_quorum(self, cluster: Json) -> None:
        """Make the FailoverQuorum, where the Cluster wants one."""
        if configuration.wants_quorum(cluster):
            made = {"metadata": bodies.metadata(cluster, self._work.name)}
            self._work.controller.make(words.QUORUMS, made, words.OPERATOR)
