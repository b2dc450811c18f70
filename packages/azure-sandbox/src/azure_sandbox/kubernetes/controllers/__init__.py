"""The life in a cluster: what controllers, schedulers, kubelets and add-ons do on a real one."""

from typing import Any

from azure_sandbox.kubernetes.admission import Webhooks
from azure_sandbox.kubernetes.controllers.addons import Addons
from azure_sandbox.kubernetes.controllers.cert_manager import CertManager
from azure_sandbox.kubernetes.controllers.cnpg_operator import CnpgOperator
from azure_sandbox.kubernetes.controllers.daemon_sets import DaemonSets
from azure_sandbox.kubernetes.controllers.definitions import Definitions
from azure_sandbox.kubernetes.controllers.deployments import Deployments, ReplicaSets
from azure_sandbox.kubernetes.controllers.garbage import Garbage
from azure_sandbox.kubernetes.controllers.life import Controller, Life
from azure_sandbox.kubernetes.controllers.namespaces import Namespaces
from azure_sandbox.kubernetes.controllers.nodes import Nodes
from azure_sandbox.kubernetes.controllers.persistent_volumes import DISK_DRIVER, PersistentVolumes
from azure_sandbox.kubernetes.controllers.pod_troubles import Troubles
from azure_sandbox.kubernetes.controllers.pods import Pods
from azure_sandbox.kubernetes.controllers.postgres.controller import PostgresClusters
from azure_sandbox.kubernetes.controllers.postgres.surroundings import Surroundings
from azure_sandbox.kubernetes.controllers.services import Services
from azure_sandbox.kubernetes.objects import Objects
from azure_sandbox.kubernetes.store import Event
from azure_sandbox.kubernetes.times import Clock

__all__ = ["Controllers"]

Json = dict[str, Any]

# https://learn.microsoft.com/azure/aks/concepts-storage#storage-classes
_STORAGE_CLASSES = (
    ("default", DISK_DRIVER, {"skuname": "StandardSSD_LRS"}),
    ("managed-csi", DISK_DRIVER, {"skuname": "StandardSSD_LRS"}),
    ("managed-csi-premium", DISK_DRIVER, {"skuname": "Premium_LRS"}),
    ("azurefile-csi", "file.csi.azure.com", {"skuName": "Standard_LRS"}),
    ("azurefile-csi-premium", "file.csi.azure.com", {"skuName": "Premium_LRS"}),
)


class Controllers:
    """All controllers of one cluster."""

    def __init__(
        self,
        objects: Objects,
        webhooks: Webhooks,
        clock: Clock,
        seed: str,
        ca_pem: str,
        troubles: Troubles = tuple,
        around: Surroundings | None = None,
    ) -> None:
        self._life = Life(objects, clock, seed, troubles)
        self.nodes = Nodes(self._life)
        self.addons = Addons(self._life)
        around = around or Surroundings()
        self.postgres = PostgresClusters(self._life, around)
        self._definitions = Definitions(self._life)
        self._all: list[Controller] = [
            Namespaces(self._life, ca_pem),
            self._definitions,
            self.nodes,
            Pods(self._life),
            ReplicaSets(self._life),
            Deployments(self._life),
            DaemonSets(self._life),
            Services(self._life),
            Garbage(self._life),
            PersistentVolumes(self._life, around.delete_disk),
            CnpgOperator(self._life, webhooks),
            CertManager(self._life),
            self.postgres,
            self.addons,
        ]

    def start(self, kept: Json | None) -> None:
        """Follow the store, and put in what every new cluster has, or go on with a cluster that was kept."""
        self._life.store.listen(self._on_change)
        if kept is None:
            self._furnish()
            return
        self._definitions.serve_all()
        self.addons.on = dict(kept["addons"])
        self.nodes.load(kept["nodes"])
        self.postgres.go_on()

    def state(self) -> Json:
        """What the controllers have to know in another run, as JSON."""
        return {"addons": self.addons.on, "nodes": self.nodes.dump()}

    def stop(self) -> None:
        """Do nothing any more, whatever the clock says."""
        self._life.stopped = True

    def _on_change(self, event: Event) -> None:
        for controller in self._all:
            controller.on_change(event)

    def _furnish(self) -> None:
        maker = self.nodes
        for name in ("default", "kube-node-lease", "kube-public", "kube-system"):
            maker.make("namespaces", {"metadata": {"name": name}}, "kube-apiserver")
        service = {
            "metadata": {"name": "kubernetes", "namespace": "default"},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 443}]},
        }
        maker.make("services", service, "kube-apiserver")
        admin = {
            "metadata": {"name": "cluster-admin"},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        }
        maker.make("clusterroles.rbac.authorization.k8s.io", admin, "kube-apiserver")
        for name, provisioner, parameters in _STORAGE_CLASSES:
            annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if name == "default" else {}
            storage = {
                "metadata": {"name": name, "annotations": annotations},
                "provisioner": provisioner,
                "parameters": parameters,
                "allowVolumeExpansion": True,
                "volumeBindingMode": "WaitForFirstConsumer" if provisioner == DISK_DRIVER else "Immediate",
            }
            maker.make("storageclasses.storage.k8s.io", storage, "aks-addon-manager")
