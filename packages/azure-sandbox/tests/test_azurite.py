"""The sandbox's blobs and Azurite's, asked the same: a second opinion.

Where the two differ, Microsoft's reference says who is right.

Runs where AZURITE names Azurite's program for blobs, such as node_modules/.bin/azurite-blob of `npm install azurite`
(MIT); it is started on loopback and ends with the test.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobBlock, BlobLeaseClient, BlobServiceClient, ContentSettings

from azure_sandbox.client import SandboxProcess

PROGRAM = "AZURITE"
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not os.environ.get(PROGRAM), reason=f"{PROGRAM} names no azurite-blob"),
]

# Published: https://learn.microsoft.com/azure/storage/common/storage-connect-azurite#http-connection-strings
NAME = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
LEASE, OTHER, THIRD = (f"{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}" for digit in "123")
LONG_AGO, NEVER_YET = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=365)

# Of a moment, or of one service only.
UNLIKE = {
    "x-ms-content-crc64",
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
    "x-ms-client-request-id",
    "x-ms-request-id",
    "x-ms-version",
}
# Whose value is of the moment: only that they are there is compared.
PRESENT = {"etag", "last-modified", "x-ms-creation-time", "x-ms-lease-time"}
XML_PRESENT = {"Etag", "Last-Modified", "Creation-Time", "NextMarker"}

Answer = dict[str, Any]
Step = Callable[[Any], Any]


def block(number: int) -> str:
    return base64.b64encode(b"%05d" % number).decode()


def answers_to(step: Step, service: BlobServiceClient) -> list[Answer]:
    """Every answer that a step gets, as far as it says something of the operation."""
    answers: list[Answer] = []

    def note(response: Any) -> None:
        answers.append(normal(response.http_response))

    container = service.get_container_client("backups")
    with suppress(HttpResponseError):  # Its answer is noted.
        step(_Hooked(container, note))
    return answers


class _Hooked:
    """A container's client whose every call tells of its answers."""

    def __init__(self, inner: Any, note: Callable[[Any], None]) -> None:
        self._inner = inner
        self._note = note

    def blob(self, name: str) -> _Hooked:
        return _Hooked(self._inner.get_blob_client(name), self._note)

    def lease(self, holder: str) -> _Hooked:
        return _Hooked(BlobLeaseClient(self._inner, holder), self._note)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found
        return lambda *arguments, **options: found(*arguments, raw_response_hook=self._note, **options)


def normal(response: Any) -> Answer:
    """What an answer says of its operation: status, headers, and what its XML holds."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    answer: Answer = {"status": response.status_code}
    for name, value in headers.items():
        if name not in UNLIKE:
            answer[name] = "..." if name in PRESENT else value
    kind = str(answer.pop("content-type", ""))
    if response.status_code >= 300:
        return answer
    if "xml" in kind:
        answer |= facts(ElementTree.fromstring(response.text().encode("utf-8")))
    else:
        answer["content-type"] = kind.partition(";")[0]
    return answer


def facts(node: ElementTree.Element, path: str = "") -> Answer:
    """The texts in a document by their path; an element that is empty says no more than one that isn't there."""
    found: Answer = {}
    below: dict[str, int] = {}
    for child in node:
        below[child.tag] = number = below.get(child.tag, 0) + 1
        found |= facts(child, f"{path}/{child.tag}" + (f" {number}" if number > 1 else ""))
    name = path.rpartition("/")[2].partition(" ")[0]
    if not below and node.text and name not in ("Marker", "MaxResults"):
        found[path] = "..." if name in XML_PRESENT else node.text
    return found


def steps() -> dict[str, Step]:
    """What backups do, and what goes wrong with it; each goes on where the one before left off."""
    found: dict[str, Step] = {}

    def step(name: str, *calls: Step) -> None:
        def each(container: Any) -> None:
            for call in calls:
                call(container)

        found[name] = each

    def commit(*numbers: int) -> list[BlobBlock]:
        return [BlobBlock(block_id=block(number)) for number in numbers]

    step("container that is there", lambda c: c.create_container())
    step("properties of the container", lambda c: c.get_container_properties())
    # Blocks.
    data = "pg/base/1/data.tar"
    for number, text in enumerate((b"one ", b"two ", b"three")):
        step(f"block {number}", lambda c, n=number, t=text: c.blob(data).stage_block(block(n), t))
    step("blocks that wait", lambda c: c.blob(data).get_block_list("all"))
    step("properties before a commit", lambda c: c.blob(data).get_blob_properties())
    step("listing before a commit", lambda c: list(c.list_blobs()))
    step("listing with what isn't committed", lambda c: list(c.list_blobs(include=["uncommittedblobs"])))
    step("block ID of another length", lambda c: c.blob(data).stage_block("YQ==", b"x"))
    step("block ID that isn't Base64", lambda c: c.blob(data).stage_block("%%%", b"x"))
    step("block with a wrong MD5", lambda c: c.blob(data).stage_block(block(5), b"x", headers=WRONG_MD5))
    step("commit of an unknown block", lambda c: c.blob(data).commit_block_list(commit(9)))
    step("commit", lambda c: c.blob(data).commit_block_list(commit(0, 1, 2), metadata={"of": "test"}))
    step("blocks that are committed", lambda c: c.blob(data).get_block_list("all"))
    step("commit of committed blocks, one twice", lambda c: c.blob(data).commit_block_list(commit(2, 0, 2)))
    step("blob of blocks", lambda c: c.blob(data).download_blob().readall())
    step("commit of nothing", lambda c: c.blob("empty").commit_block_list([]))
    step("blocks of a blob that isn't there", lambda c: c.blob("none").get_block_list("all"))
    # Put at once.
    settings = ContentSettings(
        content_type="application/x-tar", content_language="en", cache_control="no-store"
    )
    step(
        "put",
        lambda c: c.blob("put").upload_blob(b"0123456789", content_settings=settings, metadata={"a": "b"}),
    )
    step("put over it, not overwriting", lambda c: c.blob("put").upload_blob(b"x"))
    step(
        "put with a wrong MD5",
        lambda c: c.blob("put").upload_blob(b"x", overwrite=True, headers=WRONG_MD5),
    )
    step("properties", lambda c: c.blob("put").get_blob_properties())
    step("properties of what isn't there", lambda c: c.blob("none").get_blob_properties())
    step("content of what isn't there", lambda c: c.blob("none").download_blob())
    # Ranges.
    step("range", lambda c: c.blob("put").download_blob(offset=2, length=3).readall())
    step("range to the end", lambda c: c.blob("put").download_blob(offset=7).readall())
    step("range past the end", lambda c: c.blob("put").download_blob(offset=7, length=100).readall())
    step("range after the end", lambda c: c.blob("put").download_blob(offset=10, length=1).readall())
    step(
        "range with its MD5",
        lambda c: c.blob("put").download_blob(offset=2, length=3, validate_content=True).readall(),
    )
    step("range of nothing", lambda c: c.blob("empty").download_blob(offset=0, length=1).readall())
    # Listings.
    step(
        "more blobs",
        *(
            lambda c, n=name: c.blob(n).upload_blob(n.encode())
            for name in ("a/1", "a/2", "a b&c/%20", "a/sub/3", "b")
        ),
    )
    step("listing", lambda c: list(c.list_blobs()))
    step("listing with metadata", lambda c: list(c.list_blobs(include=["metadata"])))
    step("listing of a prefix", lambda c: list(c.list_blobs(name_starts_with="a/")))
    step("listing of a prefix of none", lambda c: list(c.list_blobs(name_starts_with="zzz")))
    step("listing by folder", lambda c: list(c.walk_blobs("a/", delimiter="/")))
    step("listing by the root's folders", lambda c: list(c.walk_blobs(delimiter="/")))
    step(
        "listing by pages",
        lambda c: [list(page) for page in c.list_blobs(results_per_page=2).by_page()],
    )
    step(
        "listing by pages and folders",
        lambda c: [list(page) for page in c.walk_blobs(delimiter="/", results_per_page=2).by_page()],
    )
    # Conditions.
    for name, options in {
        "another etag": {"etag": '"0x1"', "match_condition": MatchConditions.IfNotModified},
        "none that is there": {"match_condition": MatchConditions.IfMissing},
        "any": {"match_condition": MatchConditions.IfPresent},
        "modified since long ago": {"if_modified_since": LONG_AGO},
        "modified since what is to come": {"if_modified_since": NEVER_YET},
        "not modified since long ago": {"if_unmodified_since": LONG_AGO},
        "not modified since what is to come": {"if_unmodified_since": NEVER_YET},
    }.items():
        step(f"read, if {name}", lambda c, o=options: c.blob("put").download_blob(**o).readall())
        step(f"properties, if {name}", lambda c, o=options: c.blob("put").get_blob_properties(**o))
        step(
            f"commit, if {name}",
            lambda c, o=options: c.blob("empty").commit_block_list([], **o),
        )
        step(f"metadata, if {name}", lambda c, o=options: c.blob("b").set_blob_metadata({"c": "d"}, **o))
    step(
        "commit of what isn't there, if any",
        lambda c: c.blob("none").commit_block_list([], match_condition=MatchConditions.IfPresent),
    )
    step(
        "delete, if another etag",
        lambda c: c.blob("b").delete_blob(etag='"0x1"', match_condition=MatchConditions.IfNotModified),
    )
    # Leases.
    leased = "a/1"

    def lease(holder: str, action: str, *arguments: Any, **options: Any) -> Step:
        return lambda c: getattr(c.blob(leased).lease(holder), action)(*arguments, **options)

    step("lease that is too short", lease(LEASE, "acquire", lease_duration=5))
    step("lease", lease(LEASE, "acquire", lease_duration=60))
    step("lease again by its holder", lease(LEASE, "acquire", lease_duration=60))
    step("lease by another", lease(OTHER, "acquire", lease_duration=60))
    step("properties while leased", lambda c: c.blob(leased).get_blob_properties())
    step("put without the lease", lambda c: c.blob(leased).upload_blob(b"x", overwrite=True))
    step("put with another lease", lambda c: c.blob(leased).upload_blob(b"x", overwrite=True, lease=OTHER))
    step("put with the lease", lambda c: c.blob(leased).upload_blob(b"x", overwrite=True, lease=LEASE))
    step("block without the lease", lambda c: c.blob(leased).stage_block(block(0), b"x"))
    step("read with another lease", lambda c: c.blob(leased).download_blob(lease=OTHER).readall())
    step("delete without the lease", lambda c: c.blob(leased).delete_blob())
    step("renewal by another", lease(OTHER, "renew"))
    step("renewal", lease(LEASE, "renew"))
    step("change by another", lease(OTHER, "change", THIRD))
    step("change", lease(LEASE, "change", OTHER))
    step("release by another", lease(LEASE, "release"))
    step("break after a while", lease(OTHER, "break_lease", 30))
    step("break again", lease(OTHER, "break_lease", 60))
    step("lease while it breaks", lease(LEASE, "acquire", lease_duration=60))
    step("renewal while it breaks", lease(OTHER, "renew"))
    step("break at once", lease(OTHER, "break_lease", 0))
    step("renewal of what is broken", lease(OTHER, "renew"))
    step(
        "put of what is broken, with its lease",
        lambda c: c.blob(leased).upload_blob(b"y", overwrite=True, lease=OTHER),
    )
    step("release of what is broken", lease(OTHER, "release"))
    step("release of nothing", lease(OTHER, "release"))
    step("break of nothing", lease(OTHER, "break_lease"))
    step("lease for ever", lease(LEASE, "acquire", lease_duration=-1))
    step("delete with the lease", lambda c: c.blob(leased).delete_blob(lease=LEASE))
    step("lease of what isn't there", lease(LEASE, "acquire", lease_duration=60))
    step("read with a lease of what has none", lambda c: c.blob("put").download_blob(lease=LEASE).readall())
    # Facts.
    step("properties set", lambda c: c.blob("put").set_http_headers(ContentSettings(content_language="fr")))
    step("tier", lambda c: c.blob("put").set_standard_blob_tier("Cool"))
    step("tier that isn't there", lambda c: c.blob("put").set_standard_blob_tier("Lukewarm"))
    step("properties after all", lambda c: c.blob("put").get_blob_properties())
    # Ends.
    step("batch", lambda c: statuses(c.delete_blobs("a/2", "none", "b", raise_on_any_failure=False)))
    step("delete", lambda c: c.blob("put").delete_blob())
    step("delete of what isn't there", lambda c: c.blob("put").delete_blob())
    step("listing at the end", lambda c: list(c.list_blobs()))
    step("container's end", lambda c: c.delete_container())
    step("listing of a container that isn't there", lambda c: list(c.list_blobs()))
    return found


WRONG_MD5 = {"Content-MD5": base64.b64encode(b"x" * 16).decode()}


def statuses(parts: Any) -> None:
    for _ in parts:
        pass


# Steps by how their names begin, facts, and why the sandbox isn't what Azurite is:
# https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
KNOWN: list[tuple[str, set[str], str]] = [
    (
        "blocks that wait",
        {"etag", "last-modified", "x-ms-blob-content-length"},
        "Get Block List has them only where something is committed",
    ),
    (
        "listing with what isn't committed",
        {"AccessTier", "AccessTierInferred", "Content-Type", "ServerEncrypted"},
        "List Blobs doesn't say which properties a blob without content has",
    ),
    ("", {"code Md5Mismatch"}, "Md5Mismatch is in Blob service error codes, InvalidOperation isn't"),
    ("commit", {"content-md5"}, "Put Block List has it since 2019-02-02 only if the request had it"),
    (
        "",
        {"x-ms-access-tier", "x-ms-access-tier-inferred"},
        "Get Blob has them as of the version that the sandbox answers with; azure-storage-blob reads them",
    ),
    (
        "",
        {"x-ms-access-tier-change-time", "AccessTierChangeTime"},
        "Get Blob Properties and List Blobs have it only if the tier was ever set",
    ),
    (
        "metadata, if none that is there",
        {"answers"},
        "the reference doesn't say whether anything but a put heeds the wildcard",
    ),
    (
        "commit of what isn't there, if any",
        {"answers"},
        "Conditional headers: If-Match: * is met only if the blob is there",
    ),
    ("range after the end", {"answers"}, "Get Blob: 416 where the range is past the end"),
    (
        "range of nothing",
        {"answers"},
        "Get Blob: 416 where the range is past the end; the SDK then asks for it whole",
    ),
    (
        "listing",
        {"Content-MD5", "ServerEncrypted"},
        "List Blobs has them of every blob that is encrypted, as all are",
    ),
    (
        "release of nothing",
        {"code LeaseNotPresentWithLeaseOperation"},
        "both are 409; which of the two isn't settled: the reference's table wasn't at hand",
    ),
    ("tier that isn't there", {"code InvalidHeaderValue"}, "Set Blob Tier: 400 for a value that isn't one"),
    (
        "properties after all",
        {"content-type"},
        "Set Blob Properties clears it; Get Blob's default is application/octet-stream",
    ),
]


def differences(name: str, ours: list[Answer], theirs: list[Answer]) -> set[str]:
    """The facts that differ and aren't known to."""
    if len(ours) != len(theirs) or [one["status"] for one in ours] != [one["status"] for one in theirs]:
        found = {"answers"}
    else:
        found = {
            fact(key, ours_one)
            for ours_one, theirs_one in zip(ours, theirs, strict=True)
            for key in {*ours_one, *theirs_one}
            if ours_one.get(key) != theirs_one.get(key)
        }
    return {
        known
        for known in found
        if not any(name.startswith(step) and known in facts for step, facts, _ in KNOWN)
    }


def fact(key: str, answer: Answer) -> str:
    if key == "x-ms-error-code":
        return f"code {answer.get(key)}"
    return key.rpartition("/")[2].partition(" ")[0]


@pytest.fixture
def azurite(tmp_path: Path) -> Iterator[BlobServiceClient]:
    """Azurite on a free port of loopback; it would send telemetry."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [os.environ[PROGRAM], "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--location", str(tmp_path), "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with subprocess.Popen(command) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        pytest.fail(f"Azurite didn't start: {process.poll()}")
                    time.sleep(0.1)
            credential = {"account_name": NAME, "account_key": KEY}
            with BlobServiceClient(f"http://127.0.0.1:{port}/{NAME}", credential, retry_total=0) as client:
                yield client
        finally:
            process.terminate()


@pytest.fixture
def emulated(sandbox: SandboxProcess, group: str) -> Iterator[BlobServiceClient]:
    storage = sandbox.client(StorageManagementClient).storage_accounts
    account = {"location": "canadacentral", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    storage.begin_create("rg-test", "acc1", account, polling_interval=0.05).result()
    (key, *_) = storage.list_keys("rg-test", "acc1").keys_property
    credential = {"account_name": "acc1", "account_key": key.value}
    speed = sandbox.control("GET", "clock")["speed"]
    sandbox.control("POST", "clock", {"speed": 1})  # A lease lasts as long as Azurite's.
    with BlobServiceClient(
        f"{sandbox.endpoint}/blob/acc1",
        credential,
        connection_verify=sandbox.description["ca_bundle"],
        retry_total=0,
    ) as client:
        yield client
    sandbox.control("POST", "clock", {"speed": speed})


def test_what_backups_ask_is_answered_as_azurite_does_but_for_what_microsofts_reference_says(
    emulated: BlobServiceClient, azurite: BlobServiceClient
) -> None:
    found = {}
    for service in (emulated, azurite):
        service.create_container("backups")
    for name, step in steps().items():
        ours, theirs = answers_to(step, emulated), answers_to(step, azurite)
        assert ours, name
        if unknown := differences(name, ours, theirs):
            found[name] = (sorted(unknown), ours, theirs)
    shown = [f"{name}: {facts}\n  {ours}\n  {theirs}" for name, (facts, ours, theirs) in found.items()]
    assert not shown, "\n".join(shown)
