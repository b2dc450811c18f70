"""One sandbox: everything it knows, in one place, handed to whoever emulates something."""

from __future__ import annotations

import inspect
import random
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from azure_sandbox.core.certificates import Authority
from azure_sandbox.core.clock import Clock
from azure_sandbox.core.durations import Durations
from azure_sandbox.core.entra import Entra, ServicePrincipal
from azure_sandbox.core.faults import Faults
from azure_sandbox.core.issuer import TokenSigner
from azure_sandbox.core.ledger import Ledger
from azure_sandbox.core.operations import Operations
from azure_sandbox.core.persistence import kept_secrets, restore, save
from azure_sandbox.core.provider import Provider
from azure_sandbox.core.rbac import OWNER, ROLE_ASSIGNMENT, Rbac
from azure_sandbox.core.regions import Region, find_region, regions
from azure_sandbox.core.resource import Resource
from azure_sandbox.core.scenarios import Scenarios
from azure_sandbox.core.settings import Settings
from azure_sandbox.core.store import Store
from azure_sandbox.core.throttling import Throttling
from azure_sandbox.postgres.host import Host
from azure_sandbox.postgres.programs import Programs
from azure_sandbox.server.routing import Router

Json = dict[str, Any]

SUBSCRIPTION = "Microsoft.Resources/subscriptions"


class Sandbox:
    """An Azure tenant with one subscription.

    Args:
        folder: the state folder.
        speed: sandbox seconds per real second.
        seed: of everything that is drawn, secrets excepted.
        kubernetes: `emulated` or `real`.
        persist: whether the folder's state is taken up, and written at the end.
        postgres: the PostgreSQL that Clusters get; without it they get none.
    """

    def __init__(
        self,
        folder: Path,
        *,
        speed: float = 1.0,
        seed: int = 1,
        kubernetes: str = "emulated",
        persist: bool = False,
        postgres: Programs | None = None,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.kubernetes = kubernetes
        self.persist = persist
        self.endpoint = "https://localhost"
        self.proxy_url = ""
        self.postgres: Host | None = None
        if postgres is not None:
            self.postgres = Host(postgres, folder / "ca-bundle.pem", lambda: self.proxy_url)
        self.clock = Clock(speed)
        self.settings = Settings()
        self.certificates = Authority(folder)
        self.store = Store(self.clock.now_s)
        self.durations = Durations(self.rng, lambda: self.settings["durations"])
        self.throttling = Throttling(self.clock.now_s, lambda: bool(self.settings["throttling"]))
        self.operations = Operations(self)
        self.ledger = Ledger(self.clock, folder / "ledger.jsonl")
        self.faults = Faults(lambda: self.seed)
        self.scenarios = Scenarios(self)
        self.entra = Entra(self)
        self.signer = TokenSigner()
        self.rbac = Rbac(self)
        self.router = Router()
        kept = kept_secrets(self) if persist else {}
        self.seed = int(kept.get("seed", seed))
        self.client_secret = str(kept.get("client_secret") or secrets.token_urlsafe(30))
        self.control_key = str(kept.get("control_key") or secrets.token_urlsafe(30))
        self.draws: dict[tuple[str, ...], int] = {}
        self.states: dict[str, Json] = {}
        self._identify()
        self._populate()

    def start(self) -> None:
        """Begin: empty the ledger's file and take up what an earlier run left, if that is wanted."""
        self.clock.reset()
        self.ledger.reset()
        if self.persist:
            restore(self)

    async def stop(self) -> None:
        """End: write the state, if that is wanted, and close what is open."""
        if self.persist:
            self.scenarios.clear()
            save(self)
        await self.close()
        if self.postgres is not None:
            self.postgres.close()
        self.ledger.close()

    def _identify(self) -> None:
        self.tenant_id = str(self._guid("tenant"))
        self.subscription_id = str(self._guid("subscription"))
        self.subscription_name = "Sandbox subscription"
        self.client_id = str(self._guid("caller", "client"))
        self.object_id = str(self._guid("caller", "object"))

    @property
    def subscription(self) -> str:
        """The subscription's resource id."""
        return f"/subscriptions/{self.subscription_id}"

    # Chance: the same seed and the same key give the same draw, in whatever order requests come.

    def rng(self, *key: str) -> random.Random:
        """A random source for a key."""
        return random.Random("\x1f".join((str(self.seed), *key)))

    def uuid(self, *key: str) -> UUID:
        """A GUID for a key; the next one for the same key is another (a resource made again has new ids)."""
        folded = tuple(part.lower() for part in key)
        count = self.draws[folded] = self.draws.get(folded, 0) + 1
        return self._guid(*folded, str(count))

    def _guid(self, *key: str) -> UUID:
        return UUID(int=self.rng("guid", *key).getrandbits(128), version=4)

    def state(self, name: str) -> Json:
        """A provider's own memory (a registry of names, say); emptied by a reset."""
        return self.states.setdefault(name, {})

    # Regions: the data table, with the setting `regions` over it.

    def regions(self) -> dict[str, Region]:
        """All regions by name."""
        changed: dict[str, Json] = self.settings["regions"]
        if not changed:
            return regions()
        everywhere = changed.get("*", {})
        return {
            name: replace(region, **{**everywhere, **changed.get(name, {})})
            for name, region in regions().items()
        }

    def region(self, location: str) -> Region | None:
        """A region by name or display name, or None when there's no such region."""
        found = find_region(location)
        return None if found is None else self.regions()[found.name]

    # Resources.

    def view(self, resource: Resource) -> Json:
        """A resource as clients see it."""
        return self.router.view(resource, self)

    def remove(self, resource: Resource) -> None:
        """Remove a resource with everything below it, deepest first; each type's `removed` hooks run."""
        below = self.store.under(resource.id)
        for target in [*sorted(below, key=lambda item: -item.id.count("/")), resource]:
            running = self.operations.running(target.id)
            if running is not None:
                error = {"code": "ResourceDeleted", "message": f"{target.id} was deleted."}
                self.operations.end(running, "Canceled", error, touch=False)
            self.store.delete(target.id)
            for hook in self.router.removals(target.type):
                hook(target, self)

    # Life.

    def _populate(self) -> None:
        """What there is before the first request: the subscription, the caller, the caller's role."""
        self.store.put(self.subscription, SUBSCRIPTION, {"displayName": self.subscription_name}).notes[
            "initial"
        ] = True
        self.add_principal("sandbox caller", self.client_id, self.object_id, self.client_secret)
        self.assign(OWNER, self.object_id, self.subscription)

    def add_principal(self, name: str, client_id: str, object_id: str, secret: str) -> ServicePrincipal:
        """Let a service principal with a secret exist, replicated everywhere."""
        return self.entra.add(ServicePrincipal(object_id, client_id, name, secret))

    def assign(self, role: str, object_id: str, scope: str) -> Resource:
        """Assign a role outside of any request, in force at once."""
        name = self._guid("initial assignment", role, object_id, scope)
        assignment = self.store.put(
            f"{scope}/providers/{ROLE_ASSIGNMENT}/{name}",
            ROLE_ASSIGNMENT,
            {
                "properties": {
                    "roleDefinitionId": f"{self.subscription}/providers/Microsoft.Authorization"
                    f"/roleDefinitions/{role}",
                    "principalId": object_id,
                    "principalType": "ServicePrincipal",
                    "scope": scope,
                    "condition": None,
                    "conditionVersion": None,
                    "createdOn": self.clock.iso(),
                    "updatedOn": self.clock.iso(),
                }
            },
        )
        assignment.notes["initial"] = True
        self.rbac.assigned(assignment)
        return assignment

    async def reset(self, *, seed: int | None = None, speed: float | None = None) -> None:
        """Empty everything; ids are those of the seed again, secrets stay."""
        await self.close()
        self.seed = self.seed if seed is None else seed
        self.settings.reset()
        self.clock.reset(speed)
        self.store.clear()
        self.operations.reset()
        self.throttling.reset()
        self.faults.clear()
        self.scenarios.forget()
        self.ledger.reset()
        self.entra.reset()
        self.rbac.reset()
        self.draws.clear()
        self.states.clear()
        self._populate()

    async def close(self) -> None:
        """Let the providers close what they have open."""
        for provider in self.router.providers:
            await _reset(provider, self)


async def _reset(provider: Provider, sandbox: Sandbox) -> None:
    for hook in provider.resets:
        result = hook(sandbox)
        if inspect.isawaitable(result):
            await result
