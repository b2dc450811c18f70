"""A real etcd and kube-apiserver, as processes of one cluster.

Found through KUBEBUILDER_ASSETS, the convention of setup-envtest
(https://book.kubebuilder.io/reference/envtest.html). No controller runs, no kubelet, no webhook is reached.
On Linux they end with this process, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import ctypes
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from azure_sandbox.core.certificates import Authority, write_private

ASSETS = "KUBEBUILDER_ASSETS"
MISSING = f"{ASSETS} must name a folder with etcd and kube-apiserver; `setup-envtest use -p path` makes one."
FOLDER = "control-planes"
"""Where a sandbox has the control planes' files, in its state folder."""
READY_WITHIN_S = 60.0
"""Real seconds; 3 to 5 are usual."""

# Calls of webhooks and aggregated APIs would leave the machine: their proxy is a socket that doesn't exist.
_EGRESS = """\
apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
  - name: cluster
    connection:
      proxyProtocol: HTTPConnect
      transport:
        uds:
          udsName: {folder}/nobody.sock
"""


class ControlPlaneError(Exception):
    """The processes couldn't be started; the message says why."""


def assets() -> Path | None:
    """The folder that has `etcd` and `kube-apiserver`, or None."""
    named = os.environ.get(ASSETS)
    folder = Path(named) if named else None
    found = folder is not None and all(
        (folder / name).is_file() and os.access(folder / name, os.X_OK) for name in ("etcd", "kube-apiserver")
    )
    return folder if found else None


def remove_abandoned(folder: Path) -> None:
    """Remove the files of control planes whose sandbox was killed."""
    for found in folder.glob("*-*"):
        pid = found.name.partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(found, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class ControlPlane:
    """One etcd and one kube-apiserver on loopback, in a temporary folder.

    Args:
        token: bearer token of a cluster admin.
        user: its name.
        folder: where the temporary folder is made; the system's by default.
    """

    def __init__(self, token: str, user: str, folder: Path | None = None) -> None:
        self._token = token
        self._user = user
        self._processes: list[subprocess.Popen[bytes]] = []
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-kube-apiserver-", dir=folder))
        self._port = 0

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://localhost:{self._port}"

    @property
    def ca_file(self) -> Path:
        """The authority that the API server's certificate is from."""
        return self._folder / "ca.pem"

    def tls(self) -> ssl.SSLContext:
        """A client's TLS context."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    async def start(self) -> None:
        """Start both and wait until the API server is ready.

        Raises:
            ControlPlaneError: the binaries aren't there, or don't get ready.
        """
        binaries = assets()
        if binaries is None:
            raise ControlPlaneError(MISSING)
        peer, client, self._port = _free_ports(3)
        etcd = self._write_files(client, peer)
        self._start(str(binaries / "etcd"), etcd)
        self._start(str(binaries / "kube-apiserver"), self._api_server_options(client))
        await self._wait()

    def stop(self) -> None:
        """End both and remove their files."""
        for process in reversed(self._processes):
            process.kill()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        self._processes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write_files(self, client: int, peer: int) -> list[str]:
        folder = self._folder
        authority = Authority(folder, "Sandbox Kubernetes CA")
        certificate, key = authority.issue()
        write_private(folder / "server.pem", certificate)
        write_private(folder / "server.key", key)
        signing = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = signing.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        write_private(folder / "accounts.key", pem)
        write_private(folder / "egress.yaml", _EGRESS.format(folder=folder).encode())
        write_private(folder / "tokens.csv", b"")
        with (folder / "tokens.csv").open("w", newline="") as file:
            csv.writer(file).writerow([self._token, self._user, "admin", "system:masters"])
        return [
            f"--data-dir={folder}/etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        ]

    def _api_server_options(self, client: int) -> list[str]:
        folder = self._folder
        return [
            f"--etcd-servers=http://127.0.0.1:{client}",
            f"--secure-port={self._port}",
            "--bind-address=127.0.0.1",
            # Any address but loopback, which isn't allowed; nobody uses it.
            "--advertise-address=198.51.100.1",
            "--storage-media-type=application/json",
            f"--tls-cert-file={folder}/server.pem",
            f"--tls-private-key-file={folder}/server.key",
            f"--client-ca-file={folder}/ca.pem",
            f"--token-auth-file={folder}/tokens.csv",
            "--anonymous-auth=false",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={folder}/accounts.key",
            f"--service-account-key-file={folder}/accounts.key",
            # Pods would be refused until somebody makes their service account's token.
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            f"--egress-selector-config-file={folder}/egress.yaml",
        ]

    def _start(self, binary: str, options: list[str]) -> None:
        with (self._folder / f"{Path(binary).name}.log").open("wb") as log:
            process = subprocess.Popen(
                [binary, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                preexec_fn=_end_with_parent,
            )
        self._processes.append(process)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + READY_WITHIN_S
        while loop.time() < ends:
            for process in self._processes:
                if process.poll() is not None:
                    log = self._folder / f"{Path(str(process.args[0])).name}.log"  # type: ignore[index]
                    last = log.read_text(errors="replace")[-500:]
                    self.stop()
                    raise ControlPlaneError(f"{log.stem} ended with {process.returncode}: {last}")
            if await self._is_ready():
                return
            await asyncio.sleep(0.1)
        self.stop()
        raise ControlPlaneError(f"kube-apiserver wasn't ready after {READY_WITHIN_S:.0f} s")

    async def _is_ready(self) -> bool:
        request = f"GET /readyz HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        try:
            reader, writer = await asyncio.open_connection("localhost", self._port, ssl=self.tls())
        except OSError:
            return False
        try:
            writer.write(request.encode())
            answer = await asyncio.wait_for(reader.read(), 5)
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
        return b" 200 " in answer.partition(b"\r\n")[0]


# Looked up before any fork: after it, only what is loaded may be used.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """In the child: have Linux kill it when the thread that started it, the loop's, is gone, even by SIGKILL."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now; all are held until the last is found."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()
