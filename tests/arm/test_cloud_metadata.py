"""Which cloud it is: portal, sign-in, audience and suffixes come from ARM's own metadata, not from constants."""

import json
from typing import Any

import aiohttp
import pytest

from aks_postgres.arm.client import current_azure
from aks_postgres.arm.cloud_metadata import CloudFacts, cloud_facts, facts_in, portal_page
from aks_postgres.reports.journal import Journal
from aks_postgres.tear_down.live_data import judge_destination
from azure_sandbox.client import SandboxProcess

from ..cases import shown

# As the clouds' own ARM tell it (az cloud list shows the same).
GOVERNMENT = {
    "name": "AzureUSGovernment",
    "portal": "https://portal.azure.us",
    "authentication": {
        "loginEndpoint": "https://login.microsoftonline.us/",
        "audiences": ["https://management.core.usgovcloudapi.net", "https://management.usgovcloudapi.net"],
    },
    "resourceManager": "https://management.usgovcloudapi.net/",
    "suffixes": {"storage": "core.usgovcloudapi.net"},
}
STACK = {
    "portal": "https://portal.local.stack.example/",
    "authentication": {
        "loginEndpoint": "https://adfs.local.stack.example/adfs",
        "audiences": ["https://management.stack.example/4711"],
    },
    "resourceManager": "https://management.local.stack.example",
    "suffixes": {"storage": "local.stack.example"},
}


def test_of_several_clouds_the_one_of_this_arm_counts() -> None:
    found = facts_in([STACK, GOVERNMENT], "https://management.usgovcloudapi.net")
    assert found == CloudFacts(
        portal="https://portal.azure.us",
        login="https://login.microsoftonline.us",
        audience="https://management.usgovcloudapi.net",
        storage_suffix="core.usgovcloudapi.net",
        dns_suffix="cloudapp.usgovcloudapi.net",
    )
    assert portal_page(found, "t", "/subscriptions/s") == (
        "https://portal.azure.us/#@t/resource/subscriptions/s/overview"
    )


def test_an_audience_that_isnt_arms_url_is_taken() -> None:
    found = facts_in(STACK, "https://management.local.stack.example")
    assert found is not None
    assert found.audience == "https://management.stack.example/4711"


@pytest.mark.parametrize(
    "wrong",
    shown(
        [
            None,
            [],
            "text",
            [None, 3],
            {**STACK, "resourceManager": "https://elsewhere.example"},
            {**STACK, "authentication": None},
            {**STACK, "authentication": {"loginEndpoint": "https://x", "audiences": [None]}},
            {**STACK, "suffixes": {"storage": 1}},
            {**STACK, "portal": "http://portal.example"},
            [STACK, STACK],
        ],
        first=10,
    ),
)
def test_what_isnt_told_as_documented_is_not_believed(wrong: Any) -> None:
    assert facts_in(json.loads(json.dumps(wrong)), "https://management.local.stack.example") is None


async def test_a_run_takes_them_from_the_sandbox(azure: SandboxProcess, journal: Journal) -> None:
    facts = current_azure().facts
    assert (facts.portal, facts.login, facts.audience) == (azure.endpoint,) * 3
    assert facts.storage_suffix == "core.windows.net"


async def test_a_cloud_that_doesnt_say_is_taken_for_the_public_one() -> None:
    async with aiohttp.ClientSession() as http:
        assert await cloud_facts(http, "https://127.0.0.1:9") == CloudFacts(audience="https://127.0.0.1:9")


def test_other_accounts_blob_storage_is_known_by_this_clouds_suffix() -> None:
    accounts = {"https://mine.blob.core.usgovcloudapi.net/": False}
    assert judge_destination("https://other.blob.core.usgovcloudapi.net/backups", accounts) is None
    doubt = judge_destination("https://other.blob.core.windows.net/backups", accounts)
    assert doubt is not None
    assert "isn't known to be outside the cluster" in doubt
