"""Certificates of one sandbox: an authority of its own and the server certificates that it signs.

The authority lives in the state folder, its key mode 0600, and is never put into the system's store.
"""

import ipaddress
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PUBLIC_HOSTS = (
    "management.azure.com",
    "login.microsoftonline.com",
    "login.microsoft.com",
    "graph.microsoft.com",
    "*.blob.core.windows.net",
    "*.oic.prod-aks.azure.com",
)
"""Names of the public cloud, for clients that reach the sandbox through its proxy."""

LIFE = timedelta(days=365)


class Authority:
    """A certificate authority whose key and certificate are kept in a folder.

    Args:
        folder: where `ca.pem` and `ca.key` are, or are to be written.
        name: common name of a new authority.
        keeps_key: whether its key is in the folder, and lives longer than this process.
    """

    def __init__(self, folder: Path, name: str = "Azure sandbox CA", *, keeps_key: bool = True) -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        key_file = folder / "ca.key"
        if keeps_key and self.ca_file.exists() and key_file.exists():
            key = serialization.load_pem_private_key(key_file.read_bytes(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self._key = key
            self._certificate = x509.load_pem_x509_certificate(self.ca_file.read_bytes())
            if self._certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=1):
                return
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = (
            _builder(subject, subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        if keeps_key:
            write_private(key_file, self.key_pem)
        write_private(self.ca_file, self.ca_pem)

    @property
    def key_pem(self) -> bytes:
        """The authority's key."""
        return _key_pem(self._key)

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, names: tuple[str, ...] = ("localhost", "127.0.0.1"), common_name: str = "localhost"
    ) -> tuple[bytes, bytes]:
        """Issue a server certificate.

        Args:
            names: host names and IP addresses that the certificate is valid for.
            common_name: its subject.

        Returns:
            Certificate chain and private key, both PEM.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        return self._sign(key, common_name, names, ExtendedKeyUsageOID.SERVER_AUTH), _key_pem(key)

    def issue_client(self, common_name: str) -> tuple[bytes, bytes]:
        """Issue a client certificate, such as a standby shows its primary; certificate and key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH
        return self._sign(key, common_name, (), purpose), _key_pem(key)

    def server_context(self, names: tuple[str, ...] = ("localhost", "127.0.0.1")) -> ssl.SSLContext:
        """A TLS context for `asyncio.start_server` or uvicorn, with a certificate of its own."""
        certificate, key = self.issue(names)
        # `ssl` can only load certificates from files.
        path = self.folder / f".issued-{os.urandom(8).hex()}.pem"
        write_private(path, certificate + key)
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(path)
        finally:
            path.unlink()
        return context

    def write_bundle(self, path: Path) -> None:
        """Write the system's authorities and this one into one file, for SSL_CERT_FILE and its like."""
        system = ssl.get_default_verify_paths()
        candidates = [os.environ.get("SANDBOX_SYSTEM_CA"), system.openssl_cafile, system.cafile]
        candidates += ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]
        found = next((Path(name) for name in candidates if name and Path(name).is_file()), None)
        bundle = found.read_bytes() if found else b""
        write_private(path, bundle.rstrip() + b"\n" + self.ca_pem)

    def _sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        common_name: str,
        names: tuple[str, ...],
        purpose: x509.ObjectIdentifier,
    ) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = (
            _builder(subject, self._certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, all at once."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFE)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
