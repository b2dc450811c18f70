"""The blob data plane, as far as a backup needs it: containers and block blobs.

Left out: block lists, leases, snapshots, tiers, metadata, SAS, page and append blobs, ranges.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import urllib.parse
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from azure_sandbox.core.answers import ArmError, Response
from azure_sandbox.core.resource import Resource

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

ACCOUNT = "Microsoft.Storage/storageAccounts"
CONTAINER = "Microsoft.Storage/storageAccounts/blobServices/containers"
DATA = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
CONTAINER_OPERATIONS = {
    "PUT": "CreateContainer",
    "DELETE": "DeleteContainer",
    "GET": "GetContainerProperties",
    "HEAD": "GetContainerProperties",
}
BLOB_OPERATIONS = {"PUT": "PutBlob", "DELETE": "DeleteBlob", "HEAD": "GetBlobProperties", "GET": "GetBlob"}
OPERATIONS = {"ListContainers", "ListBlobs", *CONTAINER_OPERATIONS.values(), *BLOB_OPERATIONS.values()}


class BlobError(Exception):
    """An error answer of the blob service."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class BlobService:
    """All accounts' containers and blobs of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def operation(self, method: str, path: str, query: dict[str, str]) -> str:
        """The operation's name in the REST reference, for the ledger and for faults."""
        container, _, blob = path.strip("/").partition("/")
        if query.get("restype") == "container" or (container and not blob):
            if query.get("comp") == "list":
                return "ListBlobs"
            return CONTAINER_OPERATIONS.get(method, "GetContainerProperties")
        if not container:
            return "ListContainers"
        return BLOB_OPERATIONS.get(method, "GetBlob")

    def handle(
        self,
        account_name: str,
        method: str,
        path: str,
        query: dict[str, str],
        headers: dict[str, str],
        raw: bytes,
        who: list[str],
        signed_path: str,
    ) -> Response:
        """Answer a request to an account.

        Args:
            account_name: from the host, or from the path.
            method: HTTP method.
            path: below the account.
            query: the query parameters.
            headers: by lower-cased name.
            raw: the body.
            who: receives the caller's object id.
            signed_path: the path of the URL as sent, which a shared key signs.
        """
        try:
            account = self._account(account_name)
            caller = self._caller(account, method, signed_path, query, headers)
            who.append(caller or "shared key")
            name = self.operation(method, path, query)
            container, _, blob = path.strip("/").partition("/")
            self._authorize(account, caller, container, name)
            return self._answer(account, name, container, urllib.parse.unquote(blob), query, headers, raw)
        except BlobError as error:
            body = (
                '<?xml version="1.0" encoding="utf-8"?>'
                f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
            )
            failed = {"content-type": "application/xml", "x-ms-error-code": error.code}
            if error.status == 401:
                login = f"{self._sandbox.endpoint}/{self._sandbox.tenant_id}/oauth2/authorize"
                failed["www-authenticate"] = (
                    f"Bearer authorization_uri={login} resource_id=https://storage.azure.com"
                )
            return Response(error.status, body.encode(), headers=failed)

    def _account(self, name: str) -> Resource:
        for account in self._sandbox.store.of_type(ACCOUNT):
            if account.name == name.lower() and not account.notes.get("nascent"):
                return account
        raise BlobError(
            404, "ResourceNotFound", f"The account {name} doesn't exist (on Azure: no such host)."
        )

    def _caller(
        self, account: Resource, method: str, path: str, query: dict[str, str], headers: dict[str, str]
    ) -> str | None:
        """The object id of a bearer, or None for the account's key."""
        authorization = headers.get("authorization", "")
        if authorization.startswith("SharedKey "):
            if account.properties.get("allowSharedKeyAccess") is False:
                text = "Key based authentication is not permitted on this storage account."
                raise BlobError(403, "KeyBasedAuthenticationNotPermitted", text)
            signature = authorization.rpartition(":")[2]
            to_sign = _string_to_sign(account.name, method, path, query, headers)
            for key in account.notes["keys"].values():
                digest = hmac.new(base64.b64decode(key), to_sign.encode(), hashlib.sha256).digest()
                if hmac.compare_digest(base64.b64encode(digest).decode(), signature):
                    return None
            text = (
                "Server failed to authenticate the request. Make sure the value of Authorization header is "
                "formed correctly including the signature."
            )
            raise BlobError(403, "AuthenticationFailed", text)
        audiences = {"https://storage.azure.com", f"https://{account.name}.blob.core.windows.net"}
        if not authorization:
            text = (
                "Server failed to authenticate the request. Please refer to the information in the "
                "www-authenticate header."
            )
            raise BlobError(401, "NoAuthenticationInformation", text)
        try:
            return self._sandbox.entra.caller(authorization, audiences.__contains__).object_id
        except ArmError as error:
            text = (
                "Server failed to authenticate the request. Please refer to the information in the "
                "www-authenticate header."
            )
            raise BlobError(401, "InvalidAuthenticationInfo", text) from error

    def _authorize(self, account: Resource, caller: str | None, container: str, name: str) -> None:
        rules = account.properties.get("networkAcls") or {}
        if (
            account.properties.get("publicNetworkAccess") == "Disabled"
            or rules.get("defaultAction") == "Deny"
        ):
            allowed = [rule["value"] for rule in rules.get("ipRules") or ()]
            if self._sandbox.settings["egress_address"] not in allowed:
                text = "This request is not authorized to perform this operation."
                raise BlobError(403, "AuthorizationFailure", text)
        if caller is None:
            return
        verb = {
            "PutBlob": "write",
            "CreateContainer": "write",
            "DeleteContainer": "delete",
            "DeleteBlob": "delete",
        }
        scope = f"{account.id}/blobServices/default/containers/{container}" if container else account.id
        # Owner and Contributor don't reach data: only a role with data actions does.
        if not self._sandbox.rbac.allows(caller, f"{DATA}/{verb.get(name, 'read')}", scope, data=True):
            text = "This request is not authorized to perform this operation using this permission."
            raise BlobError(403, "AuthorizationPermissionMismatch", text)

    def _answer(
        self,
        account: Resource,
        name: str,
        container: str,
        blob: str,
        query: dict[str, str],
        headers: dict[str, str],
        raw: bytes,
    ) -> Response:
        store = self._sandbox.store
        container_id = f"{account.id}/blobServices/default/containers/{container}"
        live = store.get(container_id)
        if name == "ListContainers":
            names = [item.name for item in store.under(account.id, CONTAINER)]
            return _xml_list("Containers", "Container", names, query)
        if name == "CreateContainer":
            if container_blocked(self._sandbox, container_id):
                text = "The specified container is being deleted. Try operation later."
                raise BlobError(409, "ContainerBeingDeleted", text)
            if live is not None:
                text = "The specified container already exists."
                raise BlobError(409, "ContainerAlreadyExists", text)
            if not valid_container_name(container):
                text = "The specified resource name contains invalid characters."
                raise BlobError(400, "InvalidResourceName", text)
            live = make_container(self._sandbox, container_id, {})
            return Response(201, headers=self._stamps(live.etag))
        if live is None:
            raise BlobError(404, "ContainerNotFound", "The specified container does not exist.")
        blobs: dict[str, dict[str, Any]] = live.notes.setdefault("blobs", {})
        if name == "DeleteContainer":
            self._sandbox.remove(live)
            return Response(202)
        if name == "GetContainerProperties":
            return Response(200, headers=self._stamps(live.etag) | {"x-ms-lease-state": "available"})
        if name == "ListBlobs":
            prefix = query.get("prefix", "")
            names = sorted(key for key in blobs if key.startswith(prefix))
            return _xml_list("Blobs", "Blob", names, query)
        if name == "PutBlob":
            if headers.get("x-ms-blob-type") != "BlockBlob" or query.get("comp"):
                text = "Only whole block blobs are emulated (azure_sandbox/core/blobs.py)."
                raise BlobError(501, "NotImplemented", text)
            etag = hashlib.md5(raw, usedforsecurity=False).hexdigest()
            blobs[blob] = {"content": raw, "etag": etag, "type": headers.get("x-ms-blob-content-type", "")}
            return Response(201, headers=self._stamps(etag))
        if blob not in blobs:
            raise BlobError(404, "BlobNotFound", "The specified blob does not exist.")
        if name == "DeleteBlob":
            del blobs[blob]
            return Response(202)
        found = blobs[blob]
        shown = self._stamps(found["etag"]) | {
            "x-ms-blob-type": "BlockBlob",
            "content-type": found["type"] or "application/octet-stream",
            "content-length": str(len(found["content"])),
        }
        return Response(200, found["content"], headers=shown)

    def _stamps(self, etag: str) -> dict[str, str]:
        modified = formatdate(self._sandbox.clock.now().timestamp(), usegmt=True)
        return {"etag": f'"0x{etag[:15].upper()}"', "last-modified": modified, "x-ms-version": "2026-04-06"}


def make_container(sandbox: Sandbox, container_id: str, properties: dict[str, Any]) -> Resource:
    """Make a container; the data plane and ARM share them."""
    shown = {
        "publicAccess": "None",
        "leaseStatus": "Unlocked",
        "leaseState": "Available",
        "hasImmutabilityPolicy": False,
        "hasLegalHold": False,
        "lastModifiedTime": sandbox.clock.iso(),
    }
    return sandbox.store.put(container_id, CONTAINER, {"properties": {**shown, **properties}})


def container_blocked(sandbox: Sandbox, container_id: str) -> bool:
    """Whether a container of that name was deleted a moment ago."""
    until: float = sandbox.state("blocked containers").get(container_id.lower(), 0.0)
    return sandbox.clock.now_s() < until


def valid_container_name(name: str) -> bool:
    """https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata."""
    text = name.replace("-", "")
    return (
        3 <= len(name) <= 63
        and text.isalnum()
        and text.isascii()
        and name == name.lower()
        and "--" not in name
        and name[0] != "-"
        and name[-1] != "-"
    )


def _xml_list(plural: str, singular: str, names: list[str], query: dict[str, str]) -> Response:
    items = "".join(
        f"<{singular}><Name>{escape(name)}</Name><Properties></Properties></{singular}>" for name in names
    )
    prefix = escape(query.get("prefix", ""))
    body = (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults>'
        f"<Prefix>{prefix}</Prefix><{plural}>{items}</{plural}><NextMarker /></EnumerationResults>"
    )
    return Response(200, body.encode(), headers={"content-type": "application/xml"})


def _string_to_sign(
    account: str, method: str, path: str, query: dict[str, str], headers: dict[str, str]
) -> str:
    """https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key."""
    length = headers.get("content-length", "")
    standard = [
        headers.get("content-encoding", ""),
        headers.get("content-language", ""),
        "" if length == "0" else length,
        headers.get("content-md5", ""),
        headers.get("content-type", ""),
        "" if "x-ms-date" in headers else headers.get("date", ""),
        headers.get("if-modified-since", ""),
        headers.get("if-match", ""),
        headers.get("if-none-match", ""),
        headers.get("if-unmodified-since", ""),
        headers.get("range", ""),
    ]
    special = [
        f"{name}:{value.strip()}" for name, value in sorted(headers.items()) if name.startswith("x-ms-")
    ]
    resource = [f"/{account}{path}"]
    resource += [f"{name.lower()}:{value}" for name, value in sorted(query.items())]
    return "\n".join([method, *standard, *special, *resource])
