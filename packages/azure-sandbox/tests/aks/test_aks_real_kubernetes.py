"""`--kubernetes real`: clusters whose API is an etcd and a kube-apiserver, and what becomes of these processes."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kubernetes import client, config

from azure_sandbox.kubernetes.control_plane import ASSETS, assets

from .conftest import AT_ONCE

pytestmark = [
    pytest.mark.real_kubernetes,
    pytest.mark.skipif(assets() is None, reason=f"{ASSETS} names no folder with etcd and kube-apiserver"),
]


@pytest.fixture
def real_azure(own_azure):
    @contextlib.contextmanager
    def start(*options):
        with own_azure("--kubernetes", "real", *options) as azure:
            azure.set(durations=AT_ONCE, spontaneous_operations=False, autoscaler=False)
            azure.resources.resource_groups.create_or_update(azure.group, {"location": azure.region})
            yield azure

    return start


@pytest.fixture
def folder(tmp_path):
    """The state folder of that Azure."""
    return tmp_path / "own"


def connect(azure):
    return config.new_client_from_config_dict(azure.kubeconfig())


def control_planes(folder: Path) -> list[int]:
    """The processes that work in a sandbox's state folder, apart from the sandbox."""
    mark = str(folder / "control-planes").encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue  # It has ended meanwhile.
    return found


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


@pytest.mark.thorough
def test_nodes_of_the_pools_are_there_and_what_is_written_goes_through_validation(real_azure, folder):
    with real_azure() as azure:
        azure.create()
        with connect(azure) as api:
            core = client.CoreV1Api(api)
            core.create_namespace({"metadata": {"name": "n"}}, _request_timeout=60)
            with pytest.raises(client.ApiException) as refused:
                core.create_namespace({"metadata": {"name": "Not_A_Name"}})

            def ready() -> int:
                azure.step(5)
                nodes = core.list_node().items
                states = [{item.type: item.status for item in node.status.conditions or ()} for node in nodes]
                return [state.get("Ready") for state in states].count("True")

            wait_until(lambda: ready() == 3)
        assert refused.value.status == 422
        (entry,) = azure.ledger(service="kubernetes", status=422)
        assert (entry["error_code"], entry["cluster"]) == ("Invalid", "c1")
        assert len(control_planes(folder)) == 2


@pytest.mark.thorough
def test_the_processes_run_as_soon_as_the_creation_is_under_way_and_end_with_the_cluster(real_azure, folder):
    with real_azure() as azure:
        azure.begin_create()
        wait_until(lambda: len(control_planes(folder)) == 2)
        poller = azure.clusters.begin_delete(azure.group, "c1")
        azure.step(1000)
        poller.result()
        wait_until(lambda: control_planes(folder) == [])


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["reset", "SIGTERM", "SIGKILL"])
def test_nothing_is_left_behind_after(real_azure, folder, how):
    with real_azure() as azure:
        azure.create()
        with connect(azure) as api:
            client.CoreV1Api(api).list_node(_request_timeout=60)
        assert len(control_planes(folder)) == 2
        if how == "reset":
            azure.control("POST", "/sandbox/reset", {})
            wait_until(lambda: control_planes(folder) == [])
        elif how == "SIGKILL":
            os.kill(azure.facts["pid"], signal.SIGKILL)
    wait_until(lambda: control_planes(folder) == [])
    (folder / "sandbox.json").unlink(missing_ok=True)
    with real_azure():
        assert list((folder / "control-planes").iterdir()) == []


@pytest.mark.thorough
def test_a_kept_cluster_comes_back_without_what_people_had_put_into_it(real_azure):
    with real_azure("--persist") as azure:
        azure.create()
        before = azure.kubeconfig()
        with connect(azure) as api:
            client.CoreV1Api(api).create_namespace({"metadata": {"name": "n"}}, _request_timeout=60)
    with real_azure("--persist") as azure:
        assert azure.kubeconfig() == before
        with connect(azure) as api:
            namespaces = client.CoreV1Api(api).list_namespace(_request_timeout=60).items
        assert "n" not in {item.metadata.name for item in namespaces}
