"""What the operator's validating webhook refuses, while the operator runs and its webhook is registered.

`internal/webhook/v1/cluster_webhook.go` of CloudNativePG; only what a mistake in a manifest usually hits.
"""

from __future__ import annotations

from typing import Any

from azure_sandbox.kubernetes.controllers.postgres import configuration, words
from azure_sandbox.kubernetes.controllers.postgres.installed import operator_runs
from azure_sandbox.kubernetes.controllers.postgres.kubelet import bytes_of
from azure_sandbox.kubernetes.errors import ApiError
from azure_sandbox.kubernetes.resources import ResourceType
from azure_sandbox.kubernetes.store import Store

Json = dict[str, Any]

WEBHOOK = "vcluster.cnpg.io"
CONFIGURATIONS = "validatingwebhookconfigurations.admissionregistration.k8s.io"
CONFIGURATION = "cnpg-validating-webhook-configuration"


class ClusterRules:
    """The webhook of one Kubernetes API."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def review(self, type_: ResourceType, operation: str, obj: Json) -> None:
        """Refuse a Cluster that the operator wouldn't take.

        Raises:
            ApiError: 422, in the webhook's words.
        """
        if type_.key != words.CLUSTERS or not isinstance(obj.get("spec"), dict):
            return
        if self._store.get(CONFIGURATIONS, "", CONFIGURATION) is None or not operator_runs(self._store):
            return
        metadata = obj["metadata"]
        found = configuration.problems(obj["spec"])
        if operation == "UPDATE":
            before = self._store.get(words.CLUSTERS, metadata.get("namespace", ""), metadata.get("name", ""))
            found += _shrunk((before or {"spec": {}})["spec"], obj["spec"])
        if found:
            text = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
            name = metadata.get("name", "")
            why = f'Cluster.postgresql.cnpg.io "{name}" is invalid: {text}'
            details = {"name": name, "group": words.GROUP, "kind": "Cluster"}
            raise ApiError(
                422, "Invalid", f'admission webhook "{WEBHOOK}" denied the request: {why}', details
            )


def _shrunk(before: Json, after: Json) -> list[str]:
    found = []
    for field in ("storage", "walStorage"):
        old, new = ((spec.get(field) or {}).get("size") for spec in (before, after))
        if old and new and bytes_of(str(new)) < bytes_of(str(old)):
            found.append(
                f'spec.{field}.size: Invalid value: "{new}": can\'t shrink existing storage from {old} to {new}'
            )
    if before.get("walStorage") and not after.get("walStorage"):
        found.append("spec.walStorage: Invalid value: null: walStorage cannot be disabled once configured")
    return found
