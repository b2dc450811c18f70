"""The volumes behind the claims of a Cluster's Pods, as a provisioner makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers import spreading

if TYPE_CHECKING:
    from azure_sandbox.kubernetes.controllers.postgres.operator import ClusterWork

Json = dict[str, Any]


class Volumes:
    """Binds the claims of one Cluster."""

    def __init__(self, work: ClusterWork) -> None:
        self._work = work

    def bind(self) -> None:
        """Give the claims of a Pod that has its node their volumes; disks without zone redundancy stay in a zone."""
        for pod in self._work.objects.pods():
            node = self._work.store.get("nodes", "", pod["spec"].get("nodeName", ""))
            for volume in (pod["spec"].get("volumes") or []) if node is not None else []:
                name = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
                claim = self._work.store.get("persistentvolumeclaims", self._work.namespace, name)
                if claim is not None and not claim["spec"].get("volumeName"):
                    self._bind_claim(claim, node or {})

    def _bind_claim(self, claim: Json, node: Json) -> None:
        metadata, wanted = claim["metadata"], claim["spec"].get("storageClassName") or "default"
        storage_class = self._work.store.get("storageclasses.storage.k8s.io", "", wanted)
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{wanted}" not found'
            self._work.event("ProvisioningFailed", text, "Warning", about=claim)
            return
        name, zone = f"pvc-{metadata['uid']}", (node["metadata"].get("labels") or {}).get(spreading.ZONE)
        size = (claim["spec"].get("resources") or {}).get("requests") or {}
        volume: Json = {
            "accessModes": ["ReadWriteOnce"],
            "capacity": size,
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": self._work.namespace,
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "csi": {"driver": storage_class["provisioner"], "volumeHandle": name},
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": wanted,
        }
        parameters = {key.lower(): value for key, value in (storage_class.get("parameters") or {}).items()}
        if zone and not str(parameters.get("skuname", "")).endswith("_ZRS"):
            expression = {"key": spreading.DISK_ZONE, "operator": "In", "values": [zone]}
            volume["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
        self._work.controller.make(
            "persistentvolumes", {"metadata": {"name": name}, "spec": volume}, "csi-provisioner"
        )
        if (made := self._work.store.get("persistentvolumes", "", name)) is not None:
            self._work.controller.set_status("persistentvolumes", made, {"phase": "Bound"})

        def change(obj: Json) -> None:
            obj["spec"]["volumeName"] = name

        at = (self._work.namespace, metadata["name"])
        self._work.controller.objects.write("persistentvolumeclaims", *at, change, "kube-controller-manager")
        live = self._work.store.get("persistentvolumeclaims", *at)
        if live is not None:
            bound = {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": size}
            self._work.controller.set_status("persistentvolumeclaims", live, bound)
