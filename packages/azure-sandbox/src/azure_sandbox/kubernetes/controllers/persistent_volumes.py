"""What becomes of a volume whose claim is gone: by its reclaim policy.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reclaiming. Left out: the protection of a claim that
a pod uses, and of a volume that a claim has.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from azure_sandbox.kubernetes.controllers.life import Controller, Life
from azure_sandbox.kubernetes.store import Event

Json = dict[str, Any]

DISK_DRIVER = "disk.csi.azure.com"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
REACT_S = 0.3


class PersistentVolumes(Controller):
    """Releases volumes, and has those with the policy Delete deleted.

    Args:
        life: the cluster's.
        delete_disk: what the disk driver does with a volume's handle.
    """

    def __init__(self, life: Life, delete_disk: Callable[[str], None]) -> None:
        super().__init__(life)
        self._delete_disk = delete_disk

    def on_change(self, event: Event) -> None:
        """See to the volume of a claim that is gone."""
        name = event.obj.get("spec", {}).get("volumeName")
        if event.key == "persistentvolumeclaims" and event.change == "DELETED" and name:
            uid = event.obj["metadata"]["uid"]
            self.life.after(REACT_S, partial(self._release, name, uid), "release", name)

    def _release(self, name: str, claim_uid: str) -> None:
        volume = self.store.get("persistentvolumes", "", name)
        if volume is None or (volume["spec"].get("claimRef") or {}).get("uid") != claim_uid:
            return
        provisioner = (volume["metadata"].get("annotations") or {}).get(PROVISIONED_BY)
        if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete" or not provisioner:
            self.set_status("persistentvolumes", volume, {"phase": "Released"})
            return
        if provisioner == DISK_DRIVER:
            self._delete_disk(volume["spec"]["csi"]["volumeHandle"])
        self.remove("persistentvolumes", volume)
