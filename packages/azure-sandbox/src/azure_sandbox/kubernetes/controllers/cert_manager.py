"""cert-manager's stand-in: a Certificate becomes a Secret while cert-manager runs.

https://cert-manager.io/docs/usage/certificate/. Every issuer signs as a self-signed one does; left out: renewal,
requests, issuers that aren't there.
"""

from __future__ import annotations

import base64
from datetime import timedelta
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from azure_sandbox.kubernetes.conditions import condition, is_true
from azure_sandbox.kubernetes.controllers.life import Controller
from azure_sandbox.kubernetes.store import Event

Json = dict[str, Any]

CERTIFICATES = "certificates.cert-manager.io"
IMAGE = "/cert-manager-controller:"
MANAGER = "cert-manager-certificates-issuing"
ISSUE_S = (1.0, 3.0)
LIFE = timedelta(days=90)
"""cert-manager's default."""


class CertManager(Controller):
    """Issues what Certificates ask for."""

    def on_change(self, event: Event) -> None:
        """See to new Certificates, and to all when cert-manager gets ready."""
        metadata = event.obj["metadata"]
        if event.change == "DELETED":
            return
        if event.key == CERTIFICATES:
            at = (metadata["namespace"], metadata["name"])
            delay_s = self.life.between(*ISSUE_S, "certificate", *at)
            self.life.after(delay_s, partial(self._issue, *at), "certificate", *at)
        elif event.key == "pods" and is_true(event.obj, "Ready") and _is_cert_manager(event.obj):
            self.life.after(0.5, self._issue_all, "certificates")

    def _issue_all(self) -> None:
        for obj in self.store.all(CERTIFICATES):
            self._issue(obj["metadata"]["namespace"], obj["metadata"]["name"])

    def _issue(self, namespace: str, name: str) -> None:
        obj = self.store.get(CERTIFICATES, namespace, name)
        running = any(is_true(pod, "Ready") and _is_cert_manager(pod) for pod in self.store.all("pods"))
        if obj is None or not running:
            return
        spec, now = obj["spec"], self.objects.now()
        if self.store.get("secrets", namespace, spec["secretName"]) is None:
            certificate, key = self._made(spec)
            data = {"tls.crt": certificate, "tls.key": key, "ca.crt": certificate}
            secret = {
                "metadata": {
                    "name": spec["secretName"],
                    "namespace": namespace,
                    "annotations": {"cert-manager.io/certificate-name": name},
                },
                "type": "kubernetes.io/tls",
                "data": {field: base64.b64encode(value).decode() for field, value in data.items()},
            }
            self.make("secrets", secret, MANAGER)
        text = "Certificate is up to date and has not expired"
        ready = condition("Ready", "True", "Ready", text, now, obj.get("status"))
        self.set_status(CERTIFICATES, obj, {"conditions": [ready], "revision": 1}, MANAGER)

    def _made(self, spec: Json) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        now = self.life.clock.now()
        names = spec.get("dnsNames") or []
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec.get("commonName") or names[0])])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + LIFE)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def _is_cert_manager(pod: Json) -> bool:
    return any(IMAGE in container.get("image", "") for container in pod["spec"]["containers"])
