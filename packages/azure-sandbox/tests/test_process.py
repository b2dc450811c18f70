"""Starting and stopping: `python -m azure_sandbox`."""

import json
import os
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from azure_sandbox.client import start

from .conftest import REPOSITORY


def test_it_describes_itself_in_a_folder_only_its_owner_can_read_and_no_system_trusts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(tmp_path / "new" / "state", "--speed", "10")
    try:
        description = tmp_path / "new" / "state" / "sandbox.json"
        content = json.loads(description.read_text())
        assert stat.S_IMODE(description.stat().st_mode) == 0o600
        assert stat.S_IMODE(description.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE((description.parent / "ca.key").stat().st_mode) == 0o600
        assert content["pid"] == process.pid
        assert content["speed"] == 10
        answer = requests.get(f"{content['endpoint']}/sandbox/health", verify=content["ca_file"], timeout=60)
        assert answer.json()["status"] == "ok"
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        where = urlsplit(content["endpoint"])
        with (
            socket.create_connection((where.hostname, where.port)) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname=where.hostname)
    finally:
        process.terminate()
    assert process.wait(timeout=60) == 0
    assert not description.exists()


def test_a_port_in_use_is_one_plain_line_and_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "azure_sandbox",
                "--state",
                str(tmp_path / "new" / "state"),
                "--port",
                port,
            ],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            umask=0,
        )
    # Its folder is its owner's by then, with the parents that it made.
    assert {stat.S_IMODE(part.stat().st_mode) for part in (tmp_path / "new", tmp_path / "new" / "state")} == {
        0o700
    }
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert port in done.stderr


def test_real_clusters_without_binaries_are_one_plain_line_and_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "azure_sandbox", "--state", str(tmp_path / "state"), "--kubernetes", "real"],
        cwd=REPOSITORY,
        env={**os.environ, "KUBEBUILDER_ASSETS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "KUBEBUILDER_ASSETS must name a folder with etcd and kube-apiserver" in done.stderr
    assert not (tmp_path / "state").exists()


def test_ids_come_from_the_seed_and_secrets_do_not(tmp_path: Path) -> None:
    seen = []
    for name, seed in (("one", "7"), ("two", "7"), ("three", "8")):
        process = start(tmp_path / name, "--seed", seed)
        seen.append(json.loads((tmp_path / name / "sandbox.json").read_text()))
        process.terminate()
        process.wait(timeout=60)
    one, two, three = seen
    assert one["subscription_id"] == two["subscription_id"] != three["subscription_id"]
    assert one["client_secret"] != two["client_secret"]
    assert one["control_key"] != two["control_key"]


@pytest.mark.parametrize("speed", ["0", "-1"])
def test_a_speed_that_makes_no_sense_is_refused(tmp_path: Path, speed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "azure_sandbox", "--state", str(tmp_path), "--speed", speed],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
