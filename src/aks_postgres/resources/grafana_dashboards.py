"""Dashboards in Managed Grafana, by Grafana's own HTTP API and the run's own token for it.

https://grafana.com/docs/grafana/v11.6/developers/http_api/dashboard/,
https://learn.microsoft.com/azure/managed-grafana/how-to-api-calls
"""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import urlsplit

from aks_postgres.arm.client import Azure
from aks_postgres.arm.credentials import token_for
from aks_postgres.arm.error_codes import RULES
from aks_postgres.arm.errors import AzureRefused
from aks_postgres.arm.gate import Write
from aks_postgres.arm.responses import ArmFault, clean, unreadable
from aks_postgres.arm.retry import with_retries
from aks_postgres.resources.blobs import answer
from aks_postgres.spec.clouds import GRAFANA_AUDIENCE, GRAFANA_SUFFIXES

Json = dict[str, Any]


class Dashboards:
    """The dashboards of one instance; each request is sent once.

    Args:
        azure: the connection.
        name: of the instance.
        endpoint: as ARM shows it.

    Raises:
        AzureRefused: that isn't Managed Grafana, nor the host of ARM itself, as a sandbox's is; no token goes there.
    """

    def __init__(self, azure: Azure, name: str, endpoint: str) -> None:
        url = urlsplit(endpoint)
        host = (url.hostname or "").casefold()
        if url.scheme != "https" or not (
            host.endswith(GRAFANA_SUFFIXES) or host == urlsplit(azure.endpoint).hostname
        ):
            code = "ForeignHost"
            text = f"{name}: ARM says that it is at {clean(endpoint)}, which isn't Managed Grafana."
            raise AzureRefused(text, code, way_out=RULES[code].advice)
        self.url = endpoint.rstrip("/")
        self._azure = azure
        self._name = name

    async def get(self, uid: str) -> Json | None:
        """A dashboard, or None.

        Raises:
            ArmFault: what Grafana answers otherwise.
        """
        try:
            found = await self._send("GET", f"/api/dashboards/uid/{uid}")
        except ArmFault as fault:
            if fault.status == 404:
                return None
            raise
        dashboard = found.get("dashboard")
        if not isinstance(dashboard, dict):
            raise unreadable("the dashboard isn't one")
        return dashboard

    async def save(self, dashboard: Json) -> None:
        """Create a dashboard, or bring the one of its `uid` to it, with retries; a plan doesn't.

        Raises:
            AzureRefused: Grafana doesn't take it.
            TemporaryError: it doesn't answer in time.
        """
        label = f"{self._name}: dashboard {dashboard['title']}"
        body = {"dashboard": {"id": None, **dashboard}, "overwrite": True, "message": "aks-postgres"}
        if self._azure.gate.lets(f"{label}: would be written"):
            await with_retries(label, lambda: self._send("POST", "/api/dashboards/db", body))

    async def _send(self, method: str, path: str, body: Json | None = None) -> Json:
        token = await token_for(self._azure.credential, GRAFANA_AUDIENCE, f"Managed Grafana {self._name}")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        if body is None:
            status, text, _ = await answer(self._azure.http, method, self.url + path, headers)
        else:
            request_id = str(uuid.uuid4())
            async with self._azure.gate.opened(Write(method, urlsplit(self.url).path + path), request_id):
                status, text, _ = await answer(
                    self._azure.http, method, self.url + path, headers, json.dumps(body)
                )
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if status >= 400:
            said = found.get("message") if isinstance(found, dict) else text
            raise ArmFault(status, f"Grafana{status}", clean(str(said)) or "no message")
        if not isinstance(found, dict):
            raise unreadable("Grafana's answer isn't an object")
        return found
