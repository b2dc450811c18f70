"""A person with kubectl: requests to a cluster's Kubernetes API with the kubeconfig that ARM hands out."""

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import yaml

from .world import Json, World


class Kube:
    """The API of a world's cluster."""

    def __init__(self, world: World, folder: Path) -> None:
        cluster = world.made["cluster"].id
        answer = world.azure.arm("POST", f"{cluster}/listClusterUserCredential", api_version="2026-06-01")
        config = yaml.safe_load(base64.b64decode(answer.json()["kubeconfigs"][0]["value"]))
        server = config["clusters"][0]["cluster"]
        authority = folder / "ca.pem"
        authority.write_bytes(base64.b64decode(server["certificate-authority-data"]))
        self._world = world
        self._url = server["server"]
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = str(authority)
        self._http.headers["Authorization"] = f"Bearer {config['users'][0]['user']['token']}"

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        return self._http.request(method, self._url + path, json=body, headers=headers, timeout=30)

    def get(self, path: str) -> Json | None:
        """An object, or None."""
        answer = self.send("GET", path)
        assert answer.status_code in (200, 404), answer.text
        found: Json = answer.json()
        return found if answer.status_code == 200 else None

    def text(self, path: str) -> tuple[int, str]:
        """The status and the text of an answer."""
        answer = self.send("GET", path)
        return answer.status_code, answer.text

    def create(self, path: str, body: Json) -> Json:
        answer = self.send("POST", path, body)
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    def merge(self, path: str, body: Json) -> Json:
        """A merge patch."""
        answer = self.send("PATCH", path, body, **{"Content-Type": "application/merge-patch+json"})
        assert answer.status_code == 200, answer.text
        merged: Json = answer.json()
        return merged

    def delete(self, path: str) -> None:
        answer = self.send("DELETE", path)
        assert answer.status_code in (200, 202, 404), answer.text

    def until(self, is_so: Callable[[], bool], what: str = "") -> None:
        """Let the cluster's clock run until something is so; a real API server needs some real time as well."""
        ends = time.monotonic() + 120
        while not is_so():
            assert time.monotonic() < ends, f"it never came about: {what}"
            self._world.azure.step(5)
