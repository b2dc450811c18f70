"""The volumes behind the claims of a Cluster's Pods, as a provisioner makes them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from azure_sandbox.kubernetes.controllers import spreading
from azure_sandbox.kubernetes.controllers.persistent_volumes import DISK_DRIVER, PROVISIONED_BY
from azure_sandbox.kubernetes.controllers.postgres.kubelet import bytes_of

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
        sku = str(parameters.get("skuname") or "StandardSSD_LRS")
        in_zone = zone if zone and not sku.endswith("_ZRS") else None
        if in_zone:
            expression = {"key": spreading.DISK_ZONE, "operator": "In", "values": [in_zone]}
            volume["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
        if storage_class["provisioner"] == DISK_DRIVER:
            volume["csi"]["volumeHandle"] = self._make_disk(name, claim, size, sku, in_zone)
        made_by = {PROVISIONED_BY: storage_class["provisioner"]}
        about = {"name": name, "annotations": made_by}
        self._work.controller.make(
            "persistentvolumes", {"metadata": about, "spec": volume}, "csi-provisioner"
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

    def _make_disk(self, name: str, claim: Json, size: Json, sku: str, zone: str | None) -> str:
        """Ask for the disk of a volume; returns its ID, which is the volume's handle.

        https://github.com/kubernetes-sigs/azuredisk-csi-driver/blob/master/docs/driver-parameters.md (the tags)
        """
        wanted: Json = {
            "sku": {"name": sku},
            "tags": {
                "k8s-azure-created-by": "kubernetes-azure-dd",
                "kubernetes.io-created-for-pv-name": name,
                "kubernetes.io-created-for-pvc-name": claim["metadata"]["name"],
                "kubernetes.io-created-for-pvc-namespace": self._work.namespace,
            },
            "properties": {
                "creationData": {"createOption": "Empty"},
                "diskSizeGB": math.ceil(bytes_of(str(size.get("storage") or "10Gi")) / 2**30),
            },
        }
        if zone:
            wanted["zones"] = [zone.rpartition("-")[2]]
        return self._work.around.make_disk(name, wanted)
