"""Blobs as backups need them, driven with azure-storage-blob."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobBlock, BlobServiceClient, ContainerClient, ContentSettings

from azure_sandbox.client import SandboxProcess

ACCOUNT = {"location": "canadacentral", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
OWNER, CONTRIBUTOR = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"


def grant(sandbox: SandboxProcess, account: str, role: str) -> str:
    definition = f"{sandbox.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    given = {
        "roleDefinitionId": definition,
        "principalId": sandbox.object_id,
        "principalType": "ServicePrincipal",
    }
    path = f"{account}/providers/Microsoft.Authorization/roleAssignments/{uuid4()}"
    sandbox.arm("PUT", path, {"properties": given}, api_version="2022-04-01").raise_for_status()
    return path


@pytest.fixture
def account(sandbox: SandboxProcess, group: str) -> str:
    sandbox.settings(role_effect_s=0)
    storage = sandbox.client(StorageManagementClient).storage_accounts
    made = storage.begin_create("rg-test", "acc1", ACCOUNT, polling_interval=0.05).result()
    return str(made.id)


@pytest.fixture
def service(sandbox: SandboxProcess, account: str) -> Iterator[BlobServiceClient]:
    grant(sandbox, account, OWNER)
    with BlobServiceClient(
        f"{sandbox.endpoint}/blob/acc1",
        credential=sandbox.credential(),
        connection_verify=sandbox.description["ca_bundle"],
        retry_total=0,
    ) as client:
        yield client


@pytest.fixture
def backups(service: BlobServiceClient) -> ContainerClient:
    return service.create_container("backups")


def keep(sandbox: SandboxProcess, account: str, **properties: Any) -> None:
    path = f"{account}/blobServices/default"
    sandbox.arm("PUT", path, {"properties": properties}, api_version="2025-08-01").raise_for_status()


def code(caught: Any) -> tuple[int, str]:
    return caught.value.status_code, caught.value.response.headers["x-ms-error-code"]


def test_blocks_are_a_blob_once_they_are_committed(backups: ContainerClient) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/put-block-list"""
    blob = backups.get_blob_client("pg/base/1/data.tar")
    for number, text in enumerate((b"one ", b"two ", b"three")):
        blob.stage_block(base64.b64encode(b"%05d" % number).decode(), text)
    assert not blob.exists()
    committed, waiting = blob.get_block_list("all")
    assert (len(committed), [block.size for block in waiting]) == (0, [4, 4, 5])
    ids = [base64.b64encode(b"%05d" % number).decode() for number in range(3)]
    with pytest.raises(HttpResponseError) as caught:
        blob.commit_block_list([BlobBlock(block_id=base64.b64encode(b"99999").decode())])
    assert code(caught) == (400, "InvalidBlockList")
    blob.commit_block_list([BlobBlock(block_id=block) for block in ids])
    assert blob.download_blob().readall() == b"one two three"
    blob.commit_block_list([BlobBlock(block_id=ids[2]), BlobBlock(block_id=ids[0])])
    assert blob.download_blob().readall() == b"threeone "


@pytest.mark.thorough
def test_a_large_upload_comes_back_whole_and_in_parts(
    sandbox: SandboxProcess, backups: ContainerClient
) -> None:
    content = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(20_000))
    with BlobServiceClient(
        f"{sandbox.endpoint}/blob/acc1",
        credential=sandbox.credential(),
        connection_verify=sandbox.description["ca_bundle"],
        max_single_put_size=100_000,
        max_block_size=100_000,
        max_single_get_size=150_000,
        max_chunk_get_size=150_000,
    ) as small:
        blob = small.get_blob_client("backups", "data.tar")
        blob.upload_blob(content)
        assert blob.download_blob().readall() == content
        assert blob.download_blob(offset=5, length=7).readall() == content[5:12]
        assert blob.get_blob_properties().size == len(content)
        operations = {entry["operation"] for entry in sandbox.ledger(service="blob")}
    assert {"PutBlock", "PutBlockList", "GetBlob"} <= operations
    with pytest.raises(HttpResponseError) as caught:
        backups.download_blob("data.tar", offset=len(content) + 1, length=1)
    assert code(caught) == (416, "InvalidRange")


def test_listings_say_what_is_there_by_folder_and_page(backups: ContainerClient) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/list-blobs"""
    for name in ("a/1", "a/2", "a b&c/%20", "a/sub/3", "b"):
        backups.upload_blob(name, name.encode(), metadata={"of": "test"})
    assert [blob.name for blob in backups.list_blobs()] == ["a b&c/%20", "a/1", "a/2", "a/sub/3", "b"]
    first = next(iter(backups.list_blobs(name_starts_with="a/1", include=["metadata"])))
    assert (first.size, first.blob_type, first.metadata) == (3, "BlockBlob", {"of": "test"})
    assert first.last_modified >= first.creation_time
    assert bytes(first.content_settings.content_md5) == hashlib.md5(b"a/1").digest()
    assert {item.name for item in backups.walk_blobs("a/")} == {"a/1", "a/2", "a/sub/"}
    pages = [[blob.name for blob in page] for page in backups.list_blobs(results_per_page=2).by_page()]
    assert pages == [["a b&c/%20", "a/1"], ["a/2", "a/sub/3"], ["b"]]
    paged = backups.list_blobs(results_per_page=1).by_page()
    assert [blob.name for blob in next(paged)] == ["a b&c/%20"]
    backups.delete_blob("a/1")  # The marker is a name's: what goes meanwhile moves nothing.
    assert [blob.name for blob in next(paged)] == ["a/2"]


def test_a_batch_deletes_what_is_there_and_says_what_is_not(backups: ContainerClient) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/blob-batch"""
    for name in ("wals/0001", "wals/0002", "kept"):
        backups.upload_blob(name, b"x")
    answers = backups.delete_blobs("wals/0001", "wals/0002", "none", raise_on_any_failure=False)
    assert [answer.status_code for answer in answers] == [202, 202, 404]
    assert [blob.name for blob in backups.list_blobs()] == ["kept"]


def test_conditions_keep_a_blob_from_being_overwritten(backups: ContainerClient) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations"""
    blob = backups.get_blob_client("wal")
    before = blob.upload_blob(b"1")["etag"]
    with pytest.raises(HttpResponseError) as caught:
        blob.upload_blob(b"2")  # The SDK sends If-None-Match: *
    assert code(caught) == (409, "BlobAlreadyExists")
    after = blob.upload_blob(b"1", overwrite=True)["etag"]
    assert after != before
    with pytest.raises(HttpResponseError) as caught:
        blob.delete_blob(etag=before, match_condition=MatchConditions.IfNotModified)
    assert code(caught) == (412, "ConditionNotMet")
    with pytest.raises(HttpResponseError) as caught:
        blob.download_blob(etag=after, match_condition=MatchConditions.IfModified)
    assert caught.value.status_code == 304
    since = blob.get_blob_properties().last_modified - timedelta(hours=1)
    assert blob.download_blob(if_modified_since=since).readall() == b"1"
    with pytest.raises(HttpResponseError) as caught:
        blob.download_blob(if_unmodified_since=since)
    assert caught.value.status_code == 412


@pytest.mark.thorough
def test_headers_and_metadata_are_kept(backups: ContainerClient) -> None:
    blob = backups.get_blob_client("x")
    blob.upload_blob(
        b"1", content_settings=ContentSettings(content_type="text/plain", content_encoding="gzip")
    )
    blob.set_blob_metadata({"cluster": "pg"})
    found = blob.get_blob_properties()
    assert (found.content_settings.content_type, found.content_settings.content_encoding) == (
        "text/plain",
        "gzip",
    )
    assert found.metadata == {"cluster": "pg"}
    blob.set_standard_blob_tier("Cool")
    assert blob.get_blob_properties().blob_tier == "Cool"
    with pytest.raises(HttpResponseError) as caught:
        blob.create_snapshot()
    assert caught.value.status_code == 501


@pytest.mark.thorough
def test_who_holds_the_lease_writes(sandbox: SandboxProcess, backups: ContainerClient) -> None:
    """https://learn.microsoft.com/rest/api/storageservices/lease-blob"""
    sandbox.control("POST", "clock", {"speed": 1})
    blob = backups.get_blob_client("lock")
    blob.upload_blob(b"1")
    lease = blob.acquire_lease(60)
    for refused in (lambda: blob.upload_blob(b"2", overwrite=True), blob.delete_blob):
        with pytest.raises(HttpResponseError) as caught:
            refused()
        assert code(caught) == (412, "LeaseIdMissing")
    with pytest.raises(HttpResponseError) as caught:
        blob.acquire_lease(15)
    assert code(caught) == (409, "LeaseAlreadyPresent")
    blob.upload_blob(b"2", overwrite=True, lease=lease)
    sandbox.step(61)
    assert blob.get_blob_properties().lease.state == "expired"
    blob.upload_blob(b"3", overwrite=True)
    with pytest.raises(HttpResponseError) as caught:
        blob.upload_blob(b"4", overwrite=True, lease=lease)
    assert code(caught) == (412, "LeaseNotPresentWithBlobOperation")


def test_a_deleted_blob_comes_back_within_its_days(
    sandbox: SandboxProcess, account: str, backups: ContainerClient
) -> None:
    """https://learn.microsoft.com/azure/storage/blobs/soft-delete-blob-overview"""
    keep(sandbox, account, deleteRetentionPolicy={"enabled": True, "days": 7})
    blob = backups.get_blob_client("wal")
    blob.upload_blob(b"1")
    blob.delete_blob()
    assert [item.name for item in backups.list_blobs()] == []
    (found,) = backups.list_blobs(include=["deleted"])
    assert (found.deleted, found.remaining_retention_days) == (True, 6)
    blob.undelete_blob()
    assert blob.download_blob().readall() == b"1"
    blob.delete_blob()
    sandbox.step(7 * 86_400 + 1)
    assert list(backups.list_blobs(include=["deleted"])) == []
    with pytest.raises(ResourceNotFoundError):
        blob.undelete_blob()


def test_versions_survive_overwriting_and_deleting(
    sandbox: SandboxProcess, account: str, backups: ContainerClient
) -> None:
    """https://learn.microsoft.com/azure/storage/blobs/versioning-overview"""
    keep(sandbox, account, isVersioningEnabled=True)
    blob = backups.get_blob_client("backup.info")
    first = blob.upload_blob(b"1")["version_id"]
    second = blob.upload_blob(b"2", overwrite=True)["version_id"]
    blob.delete_blob()
    assert not blob.exists()
    found = list(backups.list_blobs(include=["versions"]))
    assert [(item.version_id, item.is_current_version) for item in found] == [(first, None), (second, None)]
    assert blob.download_blob(version_id=first).readall() == b"1"
    blob.delete_blob(version_id=first)
    assert [item.version_id for item in backups.list_blobs(include=["versions"])] == [second]


@pytest.mark.thorough
def test_only_the_owner_of_data_deletes_versions(sandbox: SandboxProcess, account: str) -> None:
    """https://learn.microsoft.com/azure/storage/blobs/versioning-overview#authorize-operations-on-blob-versions"""
    keep(sandbox, account, isVersioningEnabled=True)
    grant(sandbox, account, CONTRIBUTOR)
    with BlobServiceClient(
        f"{sandbox.endpoint}/blob/acc1",
        credential=sandbox.credential(),
        connection_verify=sandbox.description["ca_bundle"],
    ) as client:
        backups = client.create_container("backups")
        version = backups.upload_blob("wal", b"1").get_blob_properties().version_id
        backups.delete_blob("wal")
        with pytest.raises(HttpResponseError) as caught:
            backups.delete_blob("wal", version_id=version)
    assert code(caught) == (403, "AuthorizationPermissionMismatch")


@pytest.mark.thorough
def test_a_reader_can_not_write_blocks_leases_or_batches(sandbox: SandboxProcess, account: str) -> None:
    grant(sandbox, account, READER)
    container = f"{account}/blobServices/default/containers/backups"
    sandbox.arm("PUT", container, {}, api_version="2025-08-01").raise_for_status()
    with BlobServiceClient(
        f"{sandbox.endpoint}/blob/acc1",
        credential=sandbox.credential(),
        connection_verify=sandbox.description["ca_bundle"],
    ) as client:
        backups = client.get_container_client("backups")
        blob = backups.get_blob_client("x")
        for refused in (lambda: blob.stage_block("YQ==", b"x"), lambda: blob.commit_block_list([])):
            with pytest.raises(HttpResponseError) as caught:
                refused()
            assert caught.value.status_code == 403
        (answer,) = backups.delete_blobs("x", raise_on_any_failure=False)
        assert answer.status_code == 403
        assert list(backups.list_blobs()) == []


@pytest.mark.parametrize("by_version", [pytest.param(False, marks=pytest.mark.thorough), True])
def test_what_a_policy_keeps_stays(
    sandbox: SandboxProcess, account: str, service: BlobServiceClient, by_version: bool
) -> None:
    """https://learn.microsoft.com/azure/storage/blobs/immutable-storage-overview"""
    keep(sandbox, account, isVersioningEnabled=by_version)
    container = f"{account}/blobServices/default/containers/backups"
    body = {"properties": {"immutableStorageWithVersioning": {"enabled": True}}} if by_version else {}
    sandbox.arm("PUT", container, body, api_version="2025-08-01").raise_for_status()
    policy = {"properties": {"immutabilityPeriodSinceCreationInDays": 5}}
    path = f"{container}/immutabilityPolicies/default"
    sandbox.arm("PUT", path, policy, api_version="2025-08-01").raise_for_status()
    blob = service.get_blob_client("backups", "wal")
    version = blob.upload_blob(b"1").get("version_id")
    if by_version:  # A new version over it, and the old one stays.
        blob.upload_blob(b"2", overwrite=True)
        blob.delete_blob()
    else:
        with pytest.raises(HttpResponseError) as caught:
            blob.upload_blob(b"2", overwrite=True)
        assert code(caught) == (409, "BlobImmutableDueToPolicy")
    with pytest.raises(HttpResponseError) as caught:
        blob.delete_blob(version_id=version)
    assert code(caught) == (409, "BlobImmutableDueToPolicy")
    sandbox.step(5 * 86_400 + 1)
    blob.delete_blob(version_id=version)
