"""The real az: its installation in a folder of its own, and the two ways to point it at a sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

VERSION = "2.91.0"
REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / ".az"

# A package index answers within seconds; what it has to send is some 200 MB.
_REACHED_S = 60
_INSTALLED_S = 540
# Nothing of the person's own az, proxy or kubectl reaches this one.
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ")


class NoAzureCli(Exception):
    """az can't be installed here; says why."""


def installed(folder: Path = FOLDER) -> Path:
    """Install az of the pinned version in a virtual environment of its own, once; returns its executable.

    Raises:
        NoAzureCli: no package index can be reached, or it doesn't have what az needs.
    """
    place = folder / f"azure-cli-{VERSION}"
    az = place / "bin" / "az"
    done = place / "installed"
    if done.exists():
        return az
    wanted = f"azure-cli=={VERSION}"
    venv.create(place, with_pip=True, clear=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    # An index that isn't there shows at once, in place of pip's patience with each of a hundred packages.
    _pip(
        [*pip, "--retries", "1", "--timeout", "10", "download", "--no-deps", "--dest", str(place), wanted],
        _REACHED_S,
    )
    # Compiled when it is used: that is a small part of it.
    _pip([*pip, "install", "--no-compile", wanted], _INSTALLED_S)
    done.touch()
    return az


def _pip(command: list[str], deadline_s: int) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=deadline_s, check=False)
    except subprocess.TimeoutExpired:
        raise NoAzureCli(f"`pip {command[6]}` didn't end within {deadline_s} s") from None
    if ended.returncode:
        last = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
        raise NoAzureCli(f"azure-cli {VERSION} can't be installed: {''.join(last) or ended.returncode}")


Way = Callable[[Mapping[str, Any]], tuple[dict[str, str], str]]


def as_custom_cloud(sandbox: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """The sandbox as a cloud that az gets to know by `az cloud register`: variables, and the commands before login."""
    variables = {
        "REQUESTS_CA_BUNDLE": sandbox["ca_bundle"],
        # Else msal asks the public cloud whether it knows this authority.
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        # az makes https://ACCOUNT.blob.SUFFIX of an account's name, and names below localhost don't resolve everywhere.
        "GUIDE_BLOB_ENDPOINT": f"{sandbox['endpoint']}/blob",
        # Nobody listens there: whatever isn't the sandbox fails.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "localhost,127.0.0.1",
    }
    commands = f"""
az cloud register --name sandbox --endpoint-resource-manager {sandbox["endpoint"]}
az cloud set --name sandbox
"""
    return variables, commands


def as_public_cloud(sandbox: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """The sandbox in the place of Azure, under Azure's own names: all that az is told is a proxy and a CA."""
    return {"REQUESTS_CA_BUNDLE": sandbox["ca_bundle"], "HTTPS_PROXY": sandbox["proxy_url"]}, ""


WAYS: dict[str, Way] = {"custom cloud": as_custom_cloud, "public cloud": as_public_cloud}


def environment(home: Path, sandbox: Mapping[str, Any], az: Path) -> dict[str, str]:
    """What every command is run with: a home of its own, and the sandbox's credentials."""
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        "HOME": str(home),
        "AZURE_CONFIG_DIR": str(home / ".azure"),
        "AZURE_EXTENSION_DIR": str(home / ".azure" / "extensions"),
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "AZURE_CORE_NO_COLOR": "true",
        "AZURE_CORE_DISABLE_PROGRESS_BAR": "true",
        "PYTHONWARNINGS": "ignore",
        "PATH": f"{az.parent}{os.pathsep}{os.environ['PATH']}",
        "SSL_CERT_FILE": sandbox["ca_bundle"],
        "AZURE_TENANT_ID": sandbox["tenant_id"],
        "AZURE_CLIENT_ID": sandbox["client_id"],
        "AZURE_CLIENT_SECRET": sandbox["client_secret"],
        "AZURE_SUBSCRIPTION_ID": sandbox["subscription_id"],
        "GUIDE_EGRESS_URL": sandbox["egress_url"],
        "GUIDE_OPERATOR_MANIFEST_URL": sandbox["operator_manifest_url"],
    }


if __name__ == "__main__":
    print(installed(), file=sys.stderr)
