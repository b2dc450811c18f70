"""What the stand-in has around it: the host that its servers run on, and the cloud that its pods are in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from azure_sandbox.kubernetes.service_account_tokens import Sign
from azure_sandbox.postgres.host import Host

Json = dict[str, Any]


def _none() -> None:
    return None


@dataclass
class Surroundings:
    """Around the stand-in of one cluster.

    Attributes:
        host: runs servers; None where no PostgreSQL is installed.
        tenant: of the workload identity webhook; answers None while the AKS cluster has none.
        sign: makes the tokens of service accounts.
        public_address: of a load balancer: what a Service's annotations name, if it is there.
        egress_address: where callers from this machine seem to come from.
        make_disk: of a name, with what the disk driver asks for; answers its ID, or the name where there is no cloud.
        delete_disk: by its ID, whether or not it is there.
    """

    host: Host | None = None
    tenant: Callable[[], str | None] = _none
    sign: Sign | None = None
    public_address: Callable[[Json], str | None] = lambda _service: None
    egress_address: Callable[[], str] = lambda: "127.0.0.1"
    make_disk: Callable[[str, Json], str] = lambda name, _wanted: name
    delete_disk: Callable[[str], None] = lambda _id: None
