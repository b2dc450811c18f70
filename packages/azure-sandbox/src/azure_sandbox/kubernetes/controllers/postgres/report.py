"""The status of a Cluster, as the operator writes it after each look."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from cryptography import x509

from azure_sandbox.kubernetes.controllers.postgres import bodies, installed, words

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork

Json = dict[str, Any]


class Report:
    """Writes the status of one Cluster."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work

    def write(self) -> None:
        """Write what the servers say of themselves, the conditions and the phase."""
        cluster = self._work.cluster
        if cluster is None:
            return
        status, spec = self._work.status, cluster["spec"]
        names, ready, wanted = self._work.names(), self._work.ready(), int(spec.get("instances", 1))
        facts = {name: self._work.instances[name].facts for name in names}
        current = status.get("currentPrimary")
        main = facts.get(current or "")
        identifiers = sorted({str(known["system_id"]) for known in facts.values() if known is not None})
        fields: Json = {
            "instances": len(names),
            "readyInstances": len(ready),
            "instanceNames": names,
            "latestGeneratedNode": max((bodies.serial(name) for name in names), default=0),
            "pvcCount": len(names) * (2 if spec.get("walStorage") else 1),
            "healthyPVC": names or None,
            "instancesStatus": _grouped(names, ready),
            "instancesReportedState": {
                name: {
                    "isPrimary": not known["in_recovery"],
                    "timeLineID": known["timeline"],
                    "ip": ((self._work.kubelet.pod(name) or {}).get("status") or {}).get("podIP", ""),
                }
                for name, known in facts.items()
                if known is not None
            },
            "writeService": f"{self._work.name}-rw",
            "readService": f"{self._work.name}-r",
            "cloudNativePGOperatorHash": hashlib.sha256(b"sandbox").hexdigest(),
            "certificates": {
                "serverCASecret": f"{self._work.name}-ca",
                "serverTLSSecret": f"{self._work.name}-server",
                "clientCASecret": f"{self._work.name}-ca",
                "replicationTLSSecret": f"{self._work.name}-replication",
                "serverAltDNSNames": list(bodies.server_names(cluster)),
                "expirations": self._expirations(),
            },
            "managedRolesStatus": {},
            "topology": self._topology(),
        }
        if plugins := installed.plugins_of(spec):
            fields["pluginStatus"] = [{"name": name, "version": "0.14.0"} for name in plugins]
        if main is not None and not main["in_recovery"]:
            fields["timelineID"] = main["timeline"]
        if len(identifiers) == 1:
            fields["systemID"] = identifiers[0]
        self._work.update(**fields)
        self._write_conditions(names, ready, wanted, identifiers)

    def _write_conditions(
        self, names: list[str], ready: list[str], wanted: int, identifiers: list[str]
    ) -> None:
        status = self._work.status
        if identifiers:
            same = len(identifiers) == 1
            text = (
                "A single, unique system ID was found across reporting instances."
                if same
                else f"Multiple differing system IDs reported by instances: {identifiers}"
            )
            self._work.set_condition("ConsistentSystemID", str(same), "Unique" if same else "Mismatch", text)
        if status.get("currentPrimary") and not names:
            # After a restart of the sandbox: the objects are there, the data isn't.
            self._work.phase(words.UNRECOVERABLE, "The data ended with the sandbox that had it")
            self._work.set_condition("Ready", "False", "ClusterIsNotReady", "Cluster Is Not Ready")
            return
        moving = status.get("targetPrimary") != status.get("currentPrimary")
        if self._work.is_busy or moving or not status.get("currentPrimary"):
            if not ready:
                self._work.set_condition("Ready", "False", "ClusterIsNotReady", "Cluster Is Not Ready")
            return
        if len(ready) == len(names) == wanted:
            cluster = self._work.cluster
            if cluster is not None and self._work.members.outdated(cluster):
                return
            self._work.phase(words.HEALTHY)
            self._work.set_condition("Ready", "True", "ClusterIsReady", "Cluster is Ready")
            self._work.set_condition(
                "Initialized", "True", "BootstrapCompleted", "Cluster bootstrap completed"
            )
            return
        if len(names) == wanted or status.get("phase") == words.HEALTHY:
            self._work.phase(words.WAITING, "Some instances are not yet active. Please wait.")
        self._work.set_condition("Ready", "False", "ClusterIsNotReady", "Cluster Is Not Ready")

    def _expirations(self) -> Json:
        """When each certificate ends, in Go's words for a time, as the operator's cluster_pki.go writes it."""
        found = {}
        for kind, key in (("ca", "ca.crt"), ("server", "tls.crt"), ("replication", "tls.crt")):
            name = f"{self._work.name}-{kind}"
            secret = self._work.store.get("secrets", self._work.namespace, name) or {}
            try:
                pem = base64.b64decode((secret.get("data") or {})[key])
                end = x509.load_pem_x509_certificate(pem).not_valid_after_utc
            except (KeyError, ValueError):
                continue
            found[name] = f"{end:%Y-%m-%d %H:%M:%S} +0000 UTC"
        return found

    def _topology(self) -> Json:
        zones: Json = {}
        for name in self._work.names():
            node = self._work.store.get(
                "nodes", "", ((self._work.kubelet.pod(name) or {}).get("spec") or {}).get("nodeName", "")
            )
            labels = ((node or {}).get("metadata") or {}).get("labels") or {}
            key = "topology.kubernetes.io/zone"
            zones[name] = {key: labels[key]} if key in labels else {}
        nodes = {
            (self._work.kubelet.pod(name) or {}).get("spec", {}).get("nodeName")
            for name in self._work.names()
        }
        return {"successfullyExtracted": True, "instances": zones, "nodesUsed": len(nodes - {None})}


def _grouped(names: list[str], ready: list[str]) -> Json:
    failed = [name for name in names if name not in ready]
    found: Json = {}
    if ready:
        found["healthy"] = ready
    if failed:
        found["replicating"] = failed
    return found
