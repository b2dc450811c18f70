"""The blob data plane, as far as backups need it: containers, and block blobs with all that keeps them safe.

Who calls, what they may, and requests on accounts and containers. What a container holds is in `blob_contents.py`, and
requests on one blob are in `blob_requests.py`.
Left out: snapshots, copies, tags, SAS, page and append blobs, customer-provided keys, leases on containers (ARM's are
there), immutability policies and legal holds of single versions. A tier is kept and shown, and means nothing.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from azure_sandbox.core import blob_documents, blob_listing
from azure_sandbox.core.blob_containers import (
    CONTAINER,
    container_blocked,
    make_container,
    valid_container_name,
)
from azure_sandbox.core.blob_contents import BlobError, Contents
from azure_sandbox.core.blob_documents import element
from azure_sandbox.core.blob_requests import API_VERSION, READS, BlobRequest
from azure_sandbox.core.resource import Resource
from azure_sandbox.core.responses import ArmError, Response

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

ACCOUNT = "Microsoft.Storage/storageAccounts"
DATA = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
CONTAINER_OPERATIONS = {
    "PUT": "CreateContainer",
    "DELETE": "DeleteContainer",
    "GET": "GetContainerProperties",
    "HEAD": "GetContainerProperties",
}
BLOB_OPERATIONS = {"PUT": "PutBlob", "DELETE": "DeleteBlob", "HEAD": "GetBlobProperties", "GET": "GetBlob"}
# (method, comp) of a request on a blob.
BLOB_PARTS = {
    ("PUT", "block"): "PutBlock",
    ("PUT", "blocklist"): "PutBlockList",
    ("GET", "blocklist"): "GetBlockList",
    ("PUT", "lease"): "LeaseBlob",
    ("PUT", "metadata"): "SetBlobMetadata",
    ("PUT", "properties"): "SetBlobProperties",
    ("PUT", "tier"): "SetBlobTier",
    ("PUT", "undelete"): "UndeleteBlob",
}
OPERATIONS = {
    "ListContainers",
    "ListBlobs",
    "BlobBatch",
    *CONTAINER_OPERATIONS.values(),
    *BLOB_OPERATIONS.values(),
    *BLOB_PARTS.values(),
}


class BlobService:
    """All accounts' containers and blobs of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def operation(self, method: str, path: str, query: dict[str, str]) -> str:
        """The operation's name in the REST reference, for the ledger and for faults."""
        container, _, blob = path.strip("/").partition("/")
        comp = query.get("comp", "")
        if comp == "batch" and not blob:
            return "BlobBatch"
        if query.get("restype") == "container" or (container and not blob):
            if comp == "list":
                return "ListBlobs"
            return f"container {comp}" if comp else CONTAINER_OPERATIONS.get(method, "GetContainerProperties")
        if not container:
            return "ListContainers" if comp in ("", "list") else f"service {comp}"
        if comp:
            return BLOB_PARTS.get((method, comp), f"blob {comp}")
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
            self._authorize(account, caller, container, name, query)
            if name == "BlobBatch":
                return self._batch(account, caller, container, headers, raw)
            return self._answer(account, name, container, blob, query, headers, raw)
        except BlobError as error:
            return self._refusal(error)

    def _refusal(self, error: BlobError) -> Response:
        if error.status == 304:
            return Response(304, headers={"x-ms-error-code": error.code})
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

    def _batch(
        self, account: Resource, caller: str | None, container: str, headers: dict[str, str], raw: bytes
    ) -> Response:
        """Blob Batch: deletions and tiers, each answered by itself; who sent the batch sends its parts."""
        answers = []
        for part in blob_documents.read_batch(raw, headers.get("content-type", "")):
            # Of a path-style URL, what follows the account.
            path = part.path.lstrip("/").removeprefix("blob/")
            path = path.removeprefix(f"{account.name}/") if container != account.name else path
            name = self.operation(part.method, path, part.query)
            there, _, blob = path.partition("/")
            try:
                if name not in ("DeleteBlob", "SetBlobTier") or (container and there != container):
                    raise BlobError(400, "InvalidInput", "A batch deletes blobs or sets their tiers.")
                self._authorize(account, caller, there, name, part.query)
                answer = self._answer(account, name, there, blob, part.query, part.headers, b"")
            except BlobError as error:
                answer = self._refusal(error)
            body = answer.body if isinstance(answer.body, bytes) else b""
            answers.append((part.content_id, answer.status, answer.headers, body))
        boundary = f"batchresponse_{uuid.uuid4()}"
        return Response(
            202,
            blob_documents.batch_answer(boundary, answers),
            headers={"content-type": f"multipart/mixed; boundary={boundary}"},
        )

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

    def _authorize(
        self, account: Resource, caller: str | None, container: str, name: str, query: dict[str, str]
    ) -> None:
        rules = account.properties.get("networkAcls") or {}
        # Addresses count where the network is open to them only.
        is_closed = account.properties.get("publicNetworkAccess") == "Disabled"
        if is_closed or rules.get("defaultAction") == "Deny":
            allowed = [] if is_closed else [rule["value"] for rule in rules.get("ipRules") or ()]
            if self._sandbox.settings["egress_address"] not in allowed:
                text = "This request is not authorized to perform this operation."
                raise BlobError(403, "AuthorizationFailure", text)
        if caller is None:
            return
        if name == "BlobBatch":  # Each of its requests is looked at.
            return
        verb = "read" if name in READS else "write"
        if name in ("DeleteContainer", "DeleteBlob"):
            # https://learn.microsoft.com/azure/storage/blobs/versioning-overview#authorize-operations-on-blob-versions
            verb = "deleteBlobVersion/action" if "versionid" in query else "delete"
        scope = f"{account.id}/blobServices/default/containers/{container}" if container else account.id
        # Owner and Contributor don't reach data: only a role with data actions does.
        if not self._sandbox.rbac.allows(caller, f"{DATA}/{verb}", scope, data=True):
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
        container_id = f"{account.id}/blobServices/default/containers/{container}"
        live = self._sandbox.store.get(container_id)
        if name not in OPERATIONS:
            text = f"{name} isn't emulated (azure_sandbox/core/blobs.py)."
            raise BlobError(501, "NotImplemented", text)
        if name == "ListContainers":
            return self._list_containers(account, query)
        if name == "CreateContainer":
            return self._create_container(container, container_id, live)
        if live is None:
            raise BlobError(404, "ContainerNotFound", "The specified container does not exist.")
        if name == "DeleteContainer":
            self._sandbox.remove(live)
            return Response(202)
        if name == "GetContainerProperties":
            shown = self._stamps(live.etag) | {
                "x-ms-lease-state": "available",
                "x-ms-lease-status": "unlocked",
                "x-ms-has-immutability-policy": str(
                    bool(live.properties.get("hasImmutabilityPolicy"))
                ).lower(),
                "x-ms-has-legal-hold": str(bool(live.properties.get("hasLegalHold"))).lower(),
            }
            return Response(200, headers=shown)
        contents = Contents(self._sandbox, account, live)
        if name == "ListBlobs":
            return self._list_blobs(account, contents, container, query)
        request = BlobRequest(self._sandbox, contents, blob, query, headers, raw)
        return request.answer(name)

    def _create_container(self, container: str, container_id: str, live: Resource | None) -> Response:
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

    def _list_containers(self, account: Resource, query: dict[str, str]) -> Response:
        entries = []
        for item in sorted(self._sandbox.store.under(account.id, CONTAINER), key=lambda found: found.name):
            if not item.name.startswith(query.get("prefix", "")):
                continue
            properties = (
                element("Last-Modified", self._sandbox.clock.http_date(item.created_s))
                + element("Etag", f'"{item.etag}"')
                + element("LeaseStatus", str(item.properties.get("leaseStatus", "Unlocked")).lower())
                + element("LeaseState", str(item.properties.get("leaseState", "Available")).lower())
                + element(
                    "HasImmutabilityPolicy", str(bool(item.properties.get("hasImmutabilityPolicy"))).lower()
                )
                + element("HasLegalHold", str(bool(item.properties.get("hasLegalHold"))).lower())
            )
            entries.append(
                (
                    item.name,
                    f"<Container>{element('Name', item.name)}<Properties>{properties}</Properties></Container>",
                )
            )
        body = blob_documents.listing("Containers", entries, query, _endpoint(account))
        return Response(200, body, headers={"content-type": "application/xml"})

    def _list_blobs(
        self, account: Resource, contents: Contents, container: str, query: dict[str, str]
    ) -> Response:
        include = set(filter(None, query.get("include", "").lower().split(",")))
        found = contents.listed(include)

        def show(name: str, blob: Json, current: bool) -> str:
            return blob_listing.listed(self._sandbox, contents, name, blob, current, include)

        entries = blob_documents.folded(found, query, show)
        body = blob_documents.listing("Blobs", entries, query, _endpoint(account), container)
        return Response(200, body, headers={"content-type": "application/xml"})

    def _stamps(self, etag: str) -> dict[str, str]:
        return {
            "etag": f'"0x{etag[:15].upper()}"',
            "last-modified": self._sandbox.clock.http_date(),
            "x-ms-version": API_VERSION,
        }


def _endpoint(account: Resource) -> str:
    return f"https://{account.name}.blob.core.windows.net/"


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
