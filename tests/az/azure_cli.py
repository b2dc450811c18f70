"""The real az: its installation in a folder of its own, and the two ways to point it at a sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSION = "2.91.0"
REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / ".az"

# A package index answers within seconds; what it has to send is some 200 MB.
_REACHED_S = 60
_INSTALLED_S = 540


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


# How az is pointed at a sandbox, and what `aks-postgres sandbox env --cloud` calls it.
WAYS = {"custom cloud": "custom", "public cloud": "public"}

# As its output says: take it over, then run the az commands that it advises.
POINT_AT_SANDBOX = r"""
printed=$(aks-postgres sandbox env --state "$GUIDE_STATE" --cloud "$GUIDE_CLOUD")
eval "$printed"
eval "$(sed -n 's/^#   \(az .*\)/\1/p' <<<"$printed")"
"""


def environment(way: str, sandbox: Mapping[str, Any], az: Path, home: Path) -> dict[str, str]:
    """What the first command is run with; nothing of the person's own az, kubectl or proxy.

    Args:
        way: one of `WAYS`.
        sandbox: what its sandbox.json says.
        az: the executable.
        home: a folder in the place of the home folder.
    """
    tools = (az.parent, Path(sys.executable).parent, os.environ["PATH"])
    custom = {
        # Nobody listens there: whatever isn't the sandbox fails.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        # az makes https://ACCOUNT.blob.SUFFIX of an account's name, and names below localhost don't resolve
        # everywhere.
        "GUIDE_BLOB_ENDPOINT": f"{sandbox['endpoint']}/blob",
    }
    return {
        **{name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR", "TZ") if name in os.environ},
        "PATH": os.pathsep.join(map(str, tools)),
        "HOME": str(home),
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "AZURE_CORE_NO_COLOR": "true",
        "AZURE_CORE_DISABLE_PROGRESS_BAR": "true",
        "GUIDE_STATE": str(Path(sandbox["ca_file"]).parent),
        "GUIDE_CLOUD": WAYS[way],
        "GUIDE_EGRESS_URL": sandbox["egress_url"],
        "GUIDE_OPERATOR_MANIFEST_URL": sandbox["operator_manifest_url"],
        **(custom if way == "custom cloud" else {}),
    }
