"""The blob data plane, as far as backups need it: containers, and block blobs with all that keeps them safe.

Who calls, what they may, and the requests; what a container holds is in `blob_contents.py`.
Left out: snapshots, copies, tags, SAS, page and append blobs, customer-provided keys, leases on containers (ARM's are
there), immutability policies and legal holds of single versions. A tier is kept and shown, and means nothing.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import uuid
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from azure_sandbox.core import blob_documents, blob_leases
from azure_sandbox.core.answers import ArmError, Response
from azure_sandbox.core.blob_contents import DAY_S, BlobError, Contents
from azure_sandbox.core.blob_documents import element
from azure_sandbox.core.resource import Resource

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

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
READS = {
    "ListContainers",
    "ListBlobs",
    "GetContainerProperties",
    "GetBlobProperties",
    "GetBlob",
    "GetBlockList",
}
# Response header to the header that sets it.
KEPT_HEADERS = {
    "content-type": "x-ms-blob-content-type",
    "content-encoding": "x-ms-blob-content-encoding",
    "content-language": "x-ms-blob-content-language",
    "content-disposition": "x-ms-blob-content-disposition",
    "cache-control": "x-ms-blob-cache-control",
}
TIERS = ("Hot", "Cool", "Cold", "Archive")


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
            path = part.path.partition(f"/blob/{account.name}/")[2] or part.path.lstrip("/")
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
            }
            return Response(200, headers=shown)
        contents = Contents(self._sandbox, account, live)
        if name == "ListBlobs":
            return self._list_blobs(account, contents, container, query)
        request = _BlobRequest(self._sandbox, contents, blob, query, headers, raw)
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
                element("Last-Modified", _date(self._sandbox, item.created_s))
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
            return _listed(self._sandbox, contents, name, blob, current, include)

        entries = blob_documents.folded(found, query, show)
        body = blob_documents.listing("Blobs", entries, query, _endpoint(account), container)
        return Response(200, body, headers={"content-type": "application/xml"})

    def _stamps(self, etag: str) -> dict[str, str]:
        return {
            "etag": f'"0x{etag[:15].upper()}"',
            "last-modified": formatdate(self._sandbox.clock.now().timestamp(), usegmt=True),
            "x-ms-version": API_VERSION,
        }


API_VERSION = "2026-04-06"


class _BlobRequest:
    """One request on one blob."""

    def __init__(
        self,
        sandbox: Sandbox,
        contents: Contents,
        name: str,
        query: dict[str, str],
        headers: dict[str, str],
        raw: bytes,
    ) -> None:
        self._sandbox = sandbox
        self._contents = contents
        self._name = name
        self._query = query
        self._headers = headers
        self._raw = raw
        self._now_s = sandbox.clock.now_s()

    def answer(self, operation: str) -> Response:
        """Answer; what it is about is checked first: lease, then conditions."""
        is_read = operation in READS
        version = self._query.get("versionid") if is_read or operation == "DeleteBlob" else None
        live = self._contents.find(self._name, version) if version else self._contents.current.get(self._name)
        if operation not in ("LeaseBlob", "UndeleteBlob"):
            if live is not None and version is None:
                blob_leases.check(live, self._headers.get("x-ms-lease-id"), self._now_s, write=not is_read)
            self._check_conditions(live, is_read)
        handlers = {
            "PutBlob": self._put,
            "PutBlock": self._put_block,
            "PutBlockList": self._put_block_list,
            "GetBlockList": self._get_block_list,
            "UndeleteBlob": self._undelete,
        }
        if operation in handlers:
            return handlers[operation]()
        found = self._contents.find(self._name, version)
        if operation == "DeleteBlob":
            self._contents.delete(self._name, version)
            return Response(202, headers={"x-ms-version": API_VERSION})
        if operation == "LeaseBlob":
            status, lease = blob_leases.act(found, self._headers, self._now_s)
            return Response(status, headers=self._stamps(found) | lease)
        if operation == "GetBlob":
            return self._get(found, version)
        if operation == "GetBlobProperties":
            shown = self._shown(found, version)
            return Response(200, headers=shown | {"content-length": str(len(found["content"]))})
        return self._set(operation, found)

    # Writing.

    def _put(self) -> Response:
        if self._headers.get("x-ms-blob-type") != "BlockBlob" or "x-ms-copy-source" in self._headers:
            text = "Only block blobs are emulated, and no copies (azure_sandbox/core/blobs.py)."
            raise BlobError(501, "NotImplemented", text)
        self._check_md5(self._headers.get("content-md5"), self._raw)
        return self._made(self._contents.put(self._name, self._raw, self._kept(), self._metadata(), []))

    def _put_block(self) -> Response:
        live = self._contents.current.get(self._name)
        if live is not None:
            self._contents.check_may_change(live)
        self._check_md5(self._headers.get("content-md5"), self._raw)
        self._contents.put_block(self._name, self._query.get("blockid", ""), self._raw)
        return Response(201, headers={"content-md5": _md5(self._raw), "x-ms-version": API_VERSION})

    def _put_block_list(self) -> Response:
        self._check_md5(self._headers.get("content-md5"), self._raw)
        listed = blob_documents.read_block_list(self._raw)
        return self._made(self._contents.commit(self._name, listed, self._kept(), self._metadata()))

    def _made(self, blob: Json) -> Response:
        shown = self._stamps(blob) | {"content-md5": blob["md5"], "x-ms-request-server-encrypted": "true"}
        if blob["version"]:
            shown["x-ms-version-id"] = blob["version"]
        tier = self._headers.get("x-ms-access-tier")
        if tier is not None:
            blob["tier"] = _tier(tier)
        return Response(201, headers=shown)

    def _undelete(self) -> Response:
        self._contents.undelete(self._name)
        return Response(200, headers={"x-ms-version": API_VERSION})

    def _set(self, operation: str, blob: Json) -> Response:
        """Tier, metadata or properties; only the first leaves the etag alone."""
        if operation == "SetBlobTier":
            blob["tier"] = _tier(self._headers.get("x-ms-access-tier", ""))
            return Response(200, headers={"x-ms-version": API_VERSION})
        self._contents.check_may_change(blob)
        sets_metadata = operation == "SetBlobMetadata"
        changed = {"metadata": self._metadata()} if sets_metadata else {"headers": self._kept()}
        if self._contents.versioned and sets_metadata:
            return self._made_anew(blob, changed)
        blob |= {**changed, "etag": self._contents.new_etag(), "modified_s": self._now_s}
        return Response(200, headers=self._stamps(blob))

    def _made_anew(self, blob: Json, changed: Json) -> Response:
        """With versions, new metadata are a new version."""
        made = self._contents.put(
            self._name, blob["content"], blob["headers"], changed["metadata"], blob["blocks"]
        )
        return Response(200, headers=self._stamps(made) | {"x-ms-version-id": made["version"]})

    # Reading.

    def _get_block_list(self) -> Response:
        committed, waiting = self._contents.block_list(self._name)
        body = blob_documents.block_list(
            committed, waiting, self._query.get("blocklisttype", "committed").lower()
        )
        live = self._contents.current.get(self._name)
        shown = self._stamps(live) | {"x-ms-blob-content-length": str(len(live["content"]))} if live else {}
        return Response(200, body, headers=shown | {"content-type": "application/xml"})

    def _get(self, blob: Json, version: str | None) -> Response:
        content: bytes = blob["content"]
        shown = self._shown(blob, version)
        wanted = self._headers.get("x-ms-range") or self._headers.get("range")
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted.strip()) if wanted else None
        if found is None:  # A range that can't be read is none, as RFC 9110 has it.
            return Response(200, content, headers=shown | {"content-length": str(len(content))})
        first = int(found[1])
        last = min(int(found[2]) if found[2] else len(content) - 1, len(content) - 1)
        if first > last:
            text = "The range specified is invalid for the current size of the resource."
            raise BlobError(416, "InvalidRange", text)
        part = content[first : last + 1]
        if "content-md5" in shown:  # Of the whole blob.
            shown["x-ms-blob-content-md5"] = shown.pop("content-md5")
        if self._headers.get("x-ms-range-get-content-md5", "").lower() == "true":
            shown["content-md5"] = _md5(part)
        shown |= {"content-range": f"bytes {first}-{last}/{len(content)}", "content-length": str(len(part))}
        return Response(206, part, headers=shown)

    def _shown(self, blob: Json, version: str | None) -> dict[str, str]:
        shown = self._stamps(blob) | {
            "x-ms-blob-type": "BlockBlob",
            "accept-ranges": "bytes",
            "x-ms-creation-time": _date(self._sandbox, blob["created_s"]),
            "x-ms-server-encrypted": "true",
            "x-ms-access-tier": blob.get("tier", "Hot"),
            "content-type": "application/octet-stream",
            **blob["headers"],
        }
        if "tier" not in blob:
            shown["x-ms-access-tier-inferred"] = "true"
        # The service computes it for what was put at once, never for what was put in blocks.
        if not blob["blocks"]:
            shown["content-md5"] = blob["md5"]
        shown |= {f"x-ms-meta-{name}": value for name, value in blob["metadata"].items()}
        shown |= {f"x-ms-lease-{name}": value for name, value in blob_leases.shown(blob, self._now_s).items()}
        if blob["version"]:
            shown["x-ms-version-id"] = blob["version"]
            if version is None or blob is self._contents.current.get(self._name):
                shown["x-ms-is-current-version"] = "true"
        until_s = self._contents.immutable_until_s(blob)
        if until_s is not None and self._contents.versioned:
            shown["x-ms-immutability-policy-until-date"] = _date(self._sandbox, until_s)
            shown["x-ms-immutability-policy-mode"] = "unlocked"
        return shown

    def _stamps(self, blob: Json) -> dict[str, str]:
        return {
            "etag": f'"{blob["etag"]}"',
            "last-modified": _date(self._sandbox, blob["modified_s"]),
            "x-ms-version": API_VERSION,
        }

    # What was sent.

    def _kept(self) -> dict[str, str]:
        kept = {
            name: self._headers[header] for name, header in KEPT_HEADERS.items() if header in self._headers
        }
        if "content-type" not in kept and self._query.get("comp") is None and "content-type" in self._headers:
            kept["content-type"] = self._headers["content-type"]
        return kept

    def _metadata(self) -> dict[str, str]:
        prefix = "x-ms-meta-"
        return {
            name.removeprefix(prefix): value
            for name, value in self._headers.items()
            if name.startswith(prefix)
        }

    def _check_md5(self, given: str | None, content: bytes) -> None:
        if given is not None and given != _md5(content):
            text = "The MD5 value specified in the request did not match with the MD5 value calculated by the server."
            raise BlobError(400, "Md5Mismatch", text)

    def _check_conditions(self, live: Json | None, is_read: bool) -> None:
        """https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations."""
        failed = BlobError(
            412,
            "ConditionNotMet",
            "The condition specified using HTTP conditional header(s) is not met.",
        )
        if (match := self._headers.get("if-match")) is not None and not _matches(match, live):
            raise failed
        if (none := self._headers.get("if-none-match")) is not None and _matches(none, live):
            if is_read:
                raise BlobError(304, "ConditionNotMet", failed.message)
            if none.strip() == "*":
                raise BlobError(409, "BlobAlreadyExists", "The specified blob already exists.")
            raise failed
        if live is None:
            return
        modified = self._sandbox.clock.at(live["modified_s"]).replace(microsecond=0)
        since, before = (self._headers.get(f"if-{word}-since") for word in ("modified", "unmodified"))
        if since is not None and modified <= _moment(since):
            raise BlobError(304, "ConditionNotMet", failed.message) if is_read else failed
        if before is not None and modified > _moment(before):
            raise failed


def _matches(condition: str, live: Json | None) -> bool:
    if live is None:
        return False
    return condition.strip() == "*" or condition.strip().strip('"') == live["etag"]


def _moment(text: str) -> datetime:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        why = "The value for one of the HTTP headers is not in the correct format."
        raise BlobError(400, "InvalidHeaderValue", why) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _tier(name: str) -> str:
    if name not in TIERS:
        text = "The value for one of the HTTP headers is not in the correct format: x-ms-access-tier."
        raise BlobError(400, "InvalidHeaderValue", text)
    return name


def _date(sandbox: Sandbox, seconds: float) -> str:
    return formatdate(sandbox.clock.at(seconds).timestamp(), usegmt=True)


def _endpoint(account: Resource) -> str:
    return f"https://{account.name}.blob.core.windows.net/"


def _listed(
    sandbox: Sandbox, contents: Contents, name: str, blob: Json, current: bool, include: set[str]
) -> str:
    """One blob of a listing."""
    now_s = sandbox.clock.now_s()
    lease = blob_leases.shown(blob, now_s)
    properties = [
        ("Creation-Time", _date(sandbox, blob["created_s"])),
        ("Last-Modified", _date(sandbox, blob["modified_s"])),
        ("Etag", blob["etag"]),
        ("Content-Length", len(blob["content"])),
        ("Content-Type", blob["headers"].get("content-type", "application/octet-stream")),
        ("Content-Encoding", blob["headers"].get("content-encoding", "")),
        ("Content-Language", blob["headers"].get("content-language", "")),
        ("Content-MD5", "" if blob["blocks"] else blob["md5"]),
        ("Cache-Control", blob["headers"].get("cache-control", "")),
        ("Content-Disposition", blob["headers"].get("content-disposition", "")),
        ("BlobType", "BlockBlob"),
        ("AccessTier", blob.get("tier", "Hot")),
        ("AccessTierInferred", None if "tier" in blob else "true"),
        ("LeaseStatus", lease["status"]),
        ("LeaseState", lease["state"]),
        ("LeaseDuration", lease.get("duration")),
        ("ServerEncrypted", "true"),
    ]
    kept_s = contents.retention_s
    if "deleted_s" in blob and kept_s is not None:
        left_s = blob["deleted_s"] + kept_s - now_s
        properties += [
            ("DeletedTime", _date(sandbox, blob["deleted_s"])),
            ("RemainingRetentionDays", math.floor(left_s / DAY_S)),
        ]
    until_s = contents.immutable_until_s(blob)
    if until_s is not None and "immutabilitypolicy" in include:
        properties.append(("ImmutabilityPolicyUntilDate", _date(sandbox, until_s)))
    shown = element("Name", name)
    if "deleted_s" in blob:
        shown += element("Deleted", "true")
    if "versions" in include and blob["version"]:
        shown += element("VersionId", blob["version"])
        shown += element("IsCurrentVersion", "true") if current else ""
    shown += "<Properties>" + "".join(element(key, value) for key, value in properties) + "</Properties>"
    if "metadata" in include:
        metadata = "".join(element(key, value) for key, value in blob["metadata"].items())
        shown += f"<Metadata>{metadata}</Metadata>"
    return f"<Blob>{shown}</Blob>"


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
