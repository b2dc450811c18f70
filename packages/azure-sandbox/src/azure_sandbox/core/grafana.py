"""The HTTP API of Managed Grafana's instances, as far as dashboards need it.

https://grafana.com/docs/grafana/v11.6/developers/http_api/dashboard/. A caller signs in with a token for Managed
Grafana and needs one of its roles (https://learn.microsoft.com/azure/managed-grafana/how-to-api-calls). Left out:
everything but dashboards, also folders and permissions in Grafana itself, and pages for people; the versions of a
dashboard are only counted. At the public cloud's host names nothing answers: their certificates would be one for each
region.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.responses import ArmError, Response

if TYPE_CHECKING:
    from azure_sandbox.core.resource import Resource
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

SUFFIX = ".grafana.azure.com"
# As az has it: https://github.com/Azure/azure-cli-extensions/blob/main/src/amg/azext_amg/custom.py
AUDIENCE = "ce34e7e5-485f-4d76-964f-b3d2b16d1e4f"
TYPE = "Microsoft.Dashboard/grafana"
_ACT = "Microsoft.Dashboard/grafana/ActAsGrafana{}/action"
_WRITERS, _READERS = ("Admin", "Editor"), ("Admin", "Editor", "Viewer")
_UID = re.compile(r"[a-zA-Z0-9_-]{1,40}")


class GrafanaService:
    """Answers for the instances of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @staticmethod
    def operation(method: str, path: str) -> str:
        """What a request asks for, named by Grafana's page on it."""
        if path == "/api/dashboards/db":
            return "CreateUpdateDashboard"
        if path.startswith("/api/dashboards/uid/"):
            return {"GET": "GetDashboardByUid", "DELETE": "DeleteDashboardByUid"}.get(method, "Grafana")
        return "Grafana"

    def handle(
        self, host: str, method: str, path: str, headers: dict[str, str], raw: bytes, who: list[str]
    ) -> Response:
        """Answer a request to the instance of a host name."""
        grafana = self._instance(host)
        if grafana is None:
            return _said(404, f"The instance {host} doesn't exist (on Azure: no such host).")
        if grafana.properties.get("publicNetworkAccess") == "Disabled":
            return _said(403, "Public network access is disabled.")
        try:
            caller = self._sandbox.entra.caller(headers.get("authorization"), {AUDIENCE}.__contains__)
        except ArmError:
            return _said(401, "Unauthorized")
        who.append(caller.object_id)
        roles = _READERS if method == "GET" else _WRITERS
        if not any(
            self._sandbox.rbac.allows(caller.object_id, _ACT.format(role), grafana.id, data=True)
            for role in roles
        ):
            return _said(403, "You'll need additional permissions to perform this action.")
        dashboards: dict[str, Json] = grafana.notes.setdefault("dashboards", {})
        operation = self.operation(method, path)
        if operation == "CreateUpdateDashboard" and method == "POST":
            return _saved(dashboards, raw)
        if operation not in ("GetDashboardByUid", "DeleteDashboardByUid"):
            return _said(501, f"{method} {path} isn't emulated (azure_sandbox/core/grafana.py).")
        uid = path.removeprefix("/api/dashboards/uid/")
        live = dashboards.get(uid)
        if live is None:
            return _said(404, "Dashboard not found")
        if operation == "DeleteDashboardByUid":
            del dashboards[uid]
            title = live["title"]
            return Response(200, {"id": live["id"], "message": f"Dashboard {title} deleted", "title": title})
        meta = {"slug": _slug(live["title"]), "url": _url(live), "version": live["version"], "folderUid": ""}
        return Response(200, {"dashboard": live, "meta": meta})

    def _instance(self, host: str) -> Resource | None:
        for grafana in self._sandbox.store.of_type(TYPE):
            endpoint = str(grafana.properties.get("endpoint", ""))
            if endpoint.rpartition("/")[2].removesuffix(SUFFIX) == host.removesuffix(SUFFIX):
                return grafana
        return None


def _saved(dashboards: dict[str, Json], raw: bytes) -> Response:
    try:
        body = json.loads(raw)
        sent = dict(body["dashboard"])
        title, uid = str(sent.get("title") or ""), sent.get("uid")
    except (ValueError, KeyError, TypeError):
        return _said(400, "bad request data")
    if not title:
        return _said(400, "Dashboard title cannot be empty", status="empty-name")
    if uid is not None and not _UID.fullmatch(str(uid)):
        return _said(400, "uid contains illegal characters or is longer than 40")
    uid = str(uid or f"d{len(dashboards) + 1}")
    live = dashboards.get(uid)
    if live is not None and not body.get("overwrite") and sent.get("version") != live["version"]:
        text = "The dashboard has been changed by someone else"
        return _said(412, text, status="version-mismatch")
    number = live["id"] if live is not None else len(dashboards) + 1
    version = live["version"] + 1 if live is not None else 1
    saved = dashboards[uid] = {**sent, "id": number, "uid": uid, "version": version}
    answer = {"id": number, "uid": uid, "url": _url(saved), "status": "success", "version": version}
    return Response(200, {**answer, "slug": _slug(title), "folderUid": ""})


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _url(dashboard: Json) -> str:
    return f"/d/{dashboard['uid']}/{_slug(dashboard['title'])}"


def _said(code: int, message: str, **more: str) -> Response:
    return Response(code, {"message": message, **more})
