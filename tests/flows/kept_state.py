"""States of the sandbox that earlier versions left behind, stored without anything secret or of one machine.

To store another one: provision with that version on `aks-postgres sandbox start --state FOLDER` (the seed stays 1),
then `python -m tests.flows.kept_state FOLDER VERSION`.
"""

import gzip
import json
import re
import secrets
import sys
from pathlib import Path
from typing import Any

from azure_sandbox.client import SandboxProcess

FOLDER = Path(__file__).parent / "kept"

Json = dict[str, Any]

# What differs from one sandbox to the next, by what is stored for it.
_ENDPOINT, _SECRET, _CONTROL_KEY, _TOKEN = "@endpoint@", "@client_secret@", "@control_key@", "@token@"
_CERTIFICATE = "@certificate@"
_NOTHING = "bm90IGtlcHQ="  # "not kept"


def stripped(state: Json, endpoint: str, certificate: str) -> str:
    """A state as JSON without secrets, keys, and what is one machine's.

    Args:
        state: as the sandbox gives it.
        endpoint: the sandbox's URL.
        certificate: its CA, which the clusters' config maps hold.
    """
    tokens = [one["notes"]["token"] for one in state["resources"] if "token" in one["notes"]]
    for one in state["resources"]:
        for kind, found in one["notes"].get("kubernetes", {}).get("store", {}).get("objects", []):
            if kind == "secrets":
                found["data"] = dict.fromkeys(found.get("data") or {}, _NOTHING)
    text = json.dumps(state, separators=(",", ":"), sort_keys=True)
    for own, placeholder in {
        endpoint: _ENDPOINT,
        state["client_secret"]: _SECRET,
        state["control_key"]: _CONTROL_KEY,
        json.dumps(certificate)[1:-1]: _CERTIFICATE,
        **dict.fromkeys(tokens, _TOKEN),
    }.items():
        text = text.replace(own, placeholder)
    return text


def kept_state(version: str, azure: SandboxProcess) -> Json:
    """What that version left, for this sandbox to take up.

    Args:
        version: the commit whose code made it.
        azure: the sandbox.
    """
    text = gzip.decompress((FOLDER / f"{version}.json.gz").read_bytes()).decode()
    for placeholder, own in {
        _ENDPOINT: azure.description["endpoint"],
        _SECRET: azure.description["client_secret"],
        _CONTROL_KEY: azure.description["control_key"],
        _CERTIFICATE: Path(azure.description["ca_file"]).read_text(),
        _TOKEN: secrets.token_hex(32),
    }.items():
        text = text.replace(placeholder, json.dumps(own)[1:-1])
    found: Json = json.loads(text)
    return found


def leftovers(text: str) -> list[str]:
    """What a stored state mustn't hold: keys, secrets, paths and addresses of a machine."""
    return re.findall(
        r"PRIVATE KEY|LS0tLS1CRUdJTiB[A-Z]*UFJJVkFURS|BEGIN CERTIFICATE|https?://(?:localhost|127\.)[^\"]*"
        r"|/(?:home|root|tmp|Users)/[^\"]*",
        text,
    )


def _store(folder: Path, version: str) -> None:
    azure = SandboxProcess(folder)
    certificate = Path(azure.description["ca_file"]).read_text()
    text = stripped(azure.control("GET", "state"), azure.description["endpoint"], certificate)
    assert leftovers(text) == []
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{version}.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    _store(Path(sys.argv[1]), sys.argv[2])
