"""The control API below `/sandbox/`: reset, ledger, faults, settings, clock, principals. Not Azure's."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.faults import KINDS
from azure_sandbox.core.json_text import read_json
from azure_sandbox.core.operations import Operation
from azure_sandbox.core.persistence import snapshot, take_up
from azure_sandbox.core.rbac import role_definitions
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.core.scenarios import catalogue, find, parse
from azure_sandbox.providers import aks_api_server

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

LONGEST_STEP_S = 315_360_000
FASTEST = 10_000_000
MANIFESTS = {
    "operator": ("/sandbox/operator/cnpg-1.30.0.yaml", "cnpg-operator.yaml"),
    "plugin": ("/sandbox/operator/plugin-barman-cloud-0.14.0.yaml", "barman-cloud-plugin.yaml"),
    "cert_manager": ("/sandbox/operator/cert-manager.yaml", "cert-manager.yaml"),
}
"""What stands in for releases that a cluster is given: path and file of each."""


def manifest(name: str) -> bytes:
    """A stand-in's manifest."""
    return (Path(__file__).parents[1] / "data" / MANIFESTS[name][1]).read_bytes()


def described_manifests(endpoint: str) -> dict[str, str]:
    """Where each manifest is, and its SHA-256, as sandbox.json says it."""
    found = {}
    for name, (path, _) in MANIFESTS.items():
        found[f"{name}_manifest_url"] = endpoint + path
        found[f"{name}_manifest_sha256"] = hashlib.sha256(manifest(name)).hexdigest()
    return found


class Control:
    """Answers the control API of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def handle(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], raw: bytes
    ) -> Response:
        """Answer a request; 401 without the key, 404 for an unknown path, 400 for a bad body."""
        if (method, path) == ("GET", "/sandbox/health"):
            return Response(200, {"status": "ok", "now_s": self._sandbox.clock.now_s()})
        if (method, path) == ("GET", "/sandbox/egress"):
            address = str(self._sandbox.settings["egress_address"])
            return Response(200, f"{address}\n".encode(), headers={"content-type": "text/plain"})
        served = next((name for name, (at, _) in MANIFESTS.items() if at == path), None)
        if method == "GET" and served is not None:
            return Response(200, manifest(served), headers={"content-type": "application/yaml"})
        if not hmac.compare_digest(headers.get("x-sandbox-key", ""), self._sandbox.control_key):
            return _problem(401, "Unauthorized", "The header x-sandbox-key must hold the control key.")
        handler = getattr(self, f"_{method.lower()}_{path.removeprefix('/sandbox/').replace('/', '_')}", None)
        if handler is None:
            return _problem(404, "NotFound", f"The control API has no {method} {path}.")
        try:
            body = read_json(raw) if raw.strip() else {}
            if not isinstance(body, dict):
                raise ValueError("the body must be a JSON object")
            response: Response = await handler(body, query)
        except (ValueError, TypeError, KeyError) as error:
            return _problem(400, "BadRequest", f"{type(error).__name__}: {error}")
        return response

    async def _post_reset(self, body: Json, _query: dict[str, str]) -> Response:
        seed = None if body.get("seed") is None else int(body["seed"])
        speed = None if body.get("speed") is None else _speed(body["speed"])
        await self._sandbox.reset(seed=seed, speed=speed)
        return Response(
            200, {"status": "reset", "seed": self._sandbox.seed, "speed": self._sandbox.clock.speed}
        )

    async def _get_ledger(self, _body: Json, query: dict[str, str]) -> Response:
        since = int(query.get("since", 0))
        return Response(200, {"entries": self._sandbox.ledger.entries[since:]})

    async def _get_operations(self, _body: Json, _query: dict[str, str]) -> Response:
        operations = [_shown(operation) for operation in self._sandbox.operations.all()]
        return Response(200, {"operations": operations, "now_s": self._sandbox.clock.now_s()})

    async def _get_postgres(self, _body: Json, _query: dict[str, str]) -> Response:
        """Where the PostgreSQL of clusters is on this machine: loopback addresses, processes, folders."""
        return Response(200, aks_api_server.postgres(self._sandbox))

    async def _get_resources(self, _body: Json, _query: dict[str, str]) -> Response:
        shown = [
            self._sandbox.view(resource)
            for resource in self._sandbox.store
            if not resource.notes.get("initial")
        ]
        return Response(200, {"resources": shown})

    async def _get_state(self, _body: Json, _query: dict[str, str]) -> Response:
        """Everything that `--persist` keeps; what is still running is brought to its end first."""
        return Response(
            200,
            snapshot(self._sandbox).encode(),
            headers={"content-type": "application/json"},
        )

    async def _put_state(self, body: Json, _query: dict[str, str]) -> Response:
        """Go back to a state that was got earlier, from this sandbox; faults and the ledger are emptied."""
        await self._sandbox.reset(seed=int(body["seed"]))
        take_up(self._sandbox, json.dumps(body))
        return Response(200, {"status": "restored", "resources": len(body["resources"])})

    async def _post_faults(self, body: Json, _query: dict[str, str]) -> Response:
        return Response(200, {"id": self._sandbox.faults.order(body).id})

    async def _get_faults(self, _body: Json, _query: dict[str, str]) -> Response:
        shown = {"faults": self._sandbox.faults.all(), "scenarios": self._sandbox.scenarios.names()}
        return Response(200, {**shown, "kinds": KINDS})

    async def _delete_faults(self, _body: Json, _query: dict[str, str]) -> Response:
        self._sandbox.scenarios.clear()
        return Response(200, {"faults": []})

    async def _get_scenarios(self, _body: Json, _query: dict[str, str]) -> Response:
        return Response(200, {"scenarios": [scenario.shown() for scenario in catalogue().values()]})

    async def _post_scenarios(self, body: Json, _query: dict[str, str]) -> Response:
        given = {key: value for key, value in body.items() if key != "name"}
        name = str(body.get("name") or "unnamed")
        scenario = parse(name, given) if given else find(name)
        ids = self._sandbox.scenarios.apply(scenario)
        return Response(200, {"name": scenario.name, "faults": ids, "settings": scenario.settings})

    async def _get_settings(self, _body: Json, _query: dict[str, str]) -> Response:
        return Response(200, self._sandbox.settings.all())

    async def _put_settings(self, body: Json, _query: dict[str, str]) -> Response:
        self._sandbox.settings.update(body)
        return Response(200, self._sandbox.settings.all())

    async def _get_clock(self, _body: Json, _query: dict[str, str]) -> Response:
        clock = self._sandbox.clock
        return Response(200, {"now_s": clock.now_s(), "now": clock.iso(), "speed": clock.speed})

    async def _post_clock(self, body: Json, query: dict[str, str]) -> Response:
        clock = self._sandbox.clock
        if "speed" in body:
            clock.set_speed(_speed(body["speed"]))
        if "step_s" in body:
            step_s = float(body["step_s"])
            if not 0 <= step_s <= LONGEST_STEP_S:
                raise ValueError(f"`step_s` must be between 0 and {LONGEST_STEP_S} (ten years)")
            clock.step(step_s)
        return await self._get_clock({}, query)

    async def _post_principals(self, body: Json, _query: dict[str, str]) -> Response:
        sandbox = self._sandbox
        name = str(body.get("name", "test principal"))
        client_id, object_id = str(sandbox.uuid("client", name)), str(sandbox.uuid("object", name))
        secret = secrets.token_urlsafe(30)
        principal = sandbox.add_principal(name, client_id, object_id, secret)
        if body.get("tenant_id"):  # One that signs in elsewhere: ARM refuses its tokens.
            principal.tenant_id = str(body["tenant_id"]).lower()
        for grant in body.get("roles", []):
            wanted = str(grant["role"]).lower()
            role = next(
                (role for role in role_definitions().values() if wanted in (role.name.lower(), role.id)), None
            )
            if role is None:
                raise ValueError(f"no role is called {grant['role']}")
            sandbox.assign(role.id, object_id, sandbox.store.canonical(str(grant["scope"])))
        return Response(200, {"client_id": client_id, "client_secret": secret, "object_id": object_id})


def _speed(value: Any) -> float:
    speed = float(value)
    if not 0 < speed <= FASTEST:
        raise ValueError(f"`speed` must be above 0, and {FASTEST} at most")
    return speed


def _shown(operation: Operation) -> Json:
    return {
        "id": operation.id,
        "operation": operation.name,
        "resource": operation.resource_id,
        "started_s": operation.started_s,
        "ends_s": operation.ends_s,
        "status": operation.status,
        "spontaneous": operation.spontaneous,
        "error": operation.error,
    }


def _problem(status: int, code: str, message: str) -> Response:
    return Response(status, ArmError(status, code, message).body())
