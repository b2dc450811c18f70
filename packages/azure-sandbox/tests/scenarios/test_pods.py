"""Deployments that never get ready, met by the plain Kubernetes client."""

from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client

from azure_sandbox.client import SandboxProcess

pytestmark = pytest.mark.thorough

Json = dict[str, Any]

LABELS = {"app": "operator"}


@pytest.fixture
def said(sandbox: SandboxProcess, kubernetes: Any) -> Callable[[], str]:
    """Makes a Deployment, lets eleven minutes pass, and gives all that Kubernetes says of it."""

    def make_and_look() -> str:
        core, apps = client.CoreV1Api(kubernetes), client.AppsV1Api(kubernetes)
        core.create_namespace({"metadata": {"name": "cnpg-system"}})
        template = {
            "metadata": {"labels": LABELS},
            "spec": {"containers": [{"name": "manager", "image": "example.com/operator:1"}]},
        }
        spec = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template}
        apps.create_namespaced_deployment("cnpg-system", {"metadata": {"name": "operator"}, "spec": spec})
        sandbox.step(660)
        live = apps.read_namespaced_deployment_status("operator", "cnpg-system").status
        assert not live.available_replicas
        told = {condition.reason for condition in live.conditions}
        assert {"MinimumReplicasUnavailable", "ProgressDeadlineExceeded"} <= told
        pods = core.list_namespaced_pod("cnpg-system").items
        events = core.list_namespaced_event("cnpg-system").items
        return f"{live} {[pod.status for pod in pods]} {[event.message for event in events]}"

    return make_and_look


def test_operator_image_not_found(order: Any, said: Any) -> None:
    order("operator-image-not-found")
    assert "'reason': 'ErrImagePull'" in said()


def test_operator_image_backs_off(order: Any, said: Any) -> None:
    order("operator-image-backs-off")
    assert "'reason': 'ImagePullBackOff'" in said()


def test_operator_image_name_invalid(order: Any, said: Any) -> None:
    order("operator-image-name-invalid")
    assert "'reason': 'InvalidImageName'" in said()


def test_operator_config_missing(order: Any, said: Any) -> None:
    order("operator-config-missing")
    assert "'reason': 'CreateContainerConfigError'" in said()


def test_operator_crashes(order: Any, said: Any) -> None:
    order("operator-crashes")
    assert "'reason': 'CrashLoopBackOff'" in said()


def test_operator_out_of_memory(order: Any, said: Any) -> None:
    order("operator-out-of-memory")
    assert "'reason': 'OOMKilled'" in said()


def test_operator_not_healthy(order: Any, said: Any) -> None:
    order("operator-not-healthy")
    assert "Readiness probe failed" in said()


def test_operator_unschedulable(order: Any, said: Any) -> None:
    order("operator-unschedulable")
    assert "'reason': 'Unschedulable'" in said()


def test_operator_over_quota(order: Any, said: Any) -> None:
    order("operator-over-quota")
    assert "exceeded quota" in said()


def test_operator_image_never_pulled(order: Any, said: Any) -> None:
    order("operator-image-never-pulled")
    assert "'reason': 'ErrImageNeverPull'" in said()


def test_operator_image_unreadable(order: Any, said: Any) -> None:
    order("operator-image-unreadable")
    assert "'reason': 'ImageInspectError'" in said()


def test_operator_container_not_made(order: Any, said: Any) -> None:
    order("operator-container-not-made")
    assert "'reason': 'CreateContainerError'" in said()


def test_operator_container_not_started(order: Any, said: Any) -> None:
    order("operator-container-not-started")
    assert "'reason': 'StartError'" in said()


def test_operator_evicted(order: Any, said: Any) -> None:
    order("operator-evicted")
    assert "'reason': 'Evicted'" in said()


def test_operator_no_network(order: Any, said: Any) -> None:
    order("operator-no-network")
    assert "Failed to create pod sandbox" in said()


def test_operator_refused_by_policy(order: Any, said: Any) -> None:
    order("operator-refused-by-policy")
    assert "validation.gatekeeper.sh" in said()


def test_operator_without_service_account(order: Any, said: Any) -> None:
    order("operator-without-service-account")
    assert "serviceaccount" in said()
