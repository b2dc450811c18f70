"""An operator that never gets ready: after ten minutes the refusal says why, and the way out."""

import re
from pathlib import Path

import pytest

from aks_postgres.arm.errors import LastingState
from aks_postgres.flows.provision import provision
from aks_postgres.reports.journal import Journal, use_journal
from aks_postgres.reports.outputs import EnvironmentOutputs
from aks_postgres.tasks.verify import VerificationFailed
from azure_sandbox.client import SandboxProcess
from azure_sandbox.core.pod_reasons import REASONS
from azure_sandbox.core.scenarios import catalogue

from ..cases import shown
from ..conftest import spec_for
from .conftest import waits_of
from .stage import kube_for

pytestmark = pytest.mark.usefixtures("prefect_api")

DEPLOYMENT = "/apis/apps/v1/namespaces/cnpg-system/deployments/cnpg-controller-manager"
# What Kubernetes says, and what there is to do about it.
SAID = {
    "operator-image-not-found": ("ErrImagePull: .*not found", "private registry"),
    "operator-image-backs-off": ("ImagePullBackOff: .*Back-off pulling image", "private registry"),
    "operator-image-name-invalid": ("InvalidImageName: ", "Mend the image's name"),
    "operator-config-missing": ('secret "registry-settings" not found', "Make the ConfigMap or Secret"),
    "operator-crashes": (r"CrashLoopBackOff: .*exit code 1 \(Error\)", r"logs cnpg-\S+ --previous"),
    "operator-out-of-memory": (r"OOMKilled: .*exit code 137", "resources.limits.memory"),
    "operator-not-healthy": ("Unhealthy: Readiness probe failed", r"kubectl -n cnpg-system logs cnpg-\S+"),
    "operator-unschedulable": ("Unschedulable: 0/.*Insufficient memory", "max_count, vm_size"),
    "operator-image-never-pulled": ("ErrImageNeverPull: .*policy of Never", "image.pullPolicy"),
    "operator-image-unreadable": ("ImageInspectError: .*Failed to inspect", r"delete pod cnpg-\S+, so"),
    "operator-container-not-made": ("CreateContainerError: .*deadline exceeded", r"delete pod cnpg-\S+, so"),
    "operator-container-not-started": ("RunContainerError: .*stat /manager", "mend command or image"),
    "operator-evicted": ("Evicted: The node was low on resource: memory", "larger vm_size"),
    "operator-no-network": ("FailedCreatePodSandBox: .*failed to setup network", "azure-cns and cilium"),
    "operator-refused-by-policy": ("FailedCreate: admission webhook", "exempt namespace cnpg-system"),
    "operator-without-service-account": (
        "FailedCreate: .*serviceaccount",
        "Make the service account that is named",
    ),
    "operator-over-quota": ("FailedCreate: .*exceeded quota: compute", "get resourcequota"),
}


def test_every_reason_is_a_scenario_and_is_told() -> None:
    reasons = {
        name: scenario.settings["pods"][0]["reason"]
        for name, scenario in catalogue().items()
        if "pods" in scenario.settings and name.startswith("operator-")
    }
    assert set(reasons) == set(SAID)
    # A volume is what a database waits for.
    assert set(reasons.values()) == set(REASONS) - {"FailedAttachVolume", "FailedMount"}


@pytest.mark.parametrize("name", shown(SAID, first=0))
async def test_provision_says_why_and_what_to_do(
    azure: SandboxProcess, environment: EnvironmentOutputs, tmp_path: Path, name: str
) -> None:
    kube = kube_for(azure, environment, tmp_path)
    kube.delete(DEPLOYMENT)
    kube.until(lambda: kube.get(DEPLOYMENT) is None)
    azure.control("POST", "scenarios", {"name": name})
    journal = Journal()
    waits = waits_of(journal)
    with use_journal(journal), pytest.raises(LastingState) as refused:
        await provision(spec_for(azure))
    text = str(refused.value)
    assert text.startswith("deployment cnpg-system/cnpg-controller-manager: ")
    assert "Then run again." in text
    for words in SAID[name]:
        assert re.search(words, text), text
    # One bound of ten minutes, and not three: Prefect tries nothing again that won't pass.
    elapsed = [
        event.elapsed_s for event in waits if event.text.startswith("deployment cnpg-controller-manager")
    ]
    assert elapsed
    assert elapsed == sorted(elapsed)

    azure.control("DELETE", "faults")
    again = await provision(spec_for(azure))
    assert again.changes["cnpg_operator"].kind == "unchanged"


@pytest.mark.thorough
async def test_verify_says_why_an_agent_isnt_ready(
    azure: SandboxProcess, environment: EnvironmentOutputs, tmp_path: Path
) -> None:
    azure.settings(pods=[{"pod": "^kube-system/ama-logs-", "reason": "ImagePullBackOff"}])
    kube = kube_for(azure, environment, tmp_path)
    pods = "/api/v1/namespaces/kube-system/pods"
    for pod in (kube.get(pods) or {})["items"]:
        if pod["metadata"]["name"].startswith("ama-logs-"):
            kube.delete(f"{pods}/{pod['metadata']['name']}")
    azure.step(60)
    with pytest.raises(
        VerificationFailed, match=r"daemon set ama-logs: ready on 0(.|\n)*ImagePullBackOff"
    ) as told:
        await provision(spec_for(azure))
    assert "Everything was sent; run again to look once more" in str(told.value)

    azure.settings(pods=[])
    azure.step(600)
    again = await provision(spec_for(azure))
    assert {change.kind for change in again.changes.values()} == {"unchanged"}
