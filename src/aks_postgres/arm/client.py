"""The connection of one run to Azure: one HTTP session, one credential, one pipeline under every SDK client.

The outermost flow opens it and closes it; steps are given it (`runs.step`), and pass it on.
"""

from __future__ import annotations

import functools
import logging
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import aiohttp
from azure.core import AsyncPipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import AsyncPipeline, PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    AsyncHTTPPolicy,
    ContentDecodePolicy,
    HeadersPolicy,
    ProxyPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import HttpRequest

from aks_postgres.arm.cloud_metadata import CloudFacts, cloud_facts
from aks_postgres.arm.credentials import RenewableCredential, arm_endpoint, open_credential
from aks_postgres.arm.gate import Gate, GatedRequest, GatePolicy
from aks_postgres.arm.rate_limit import PacePolicy, bucket
from aks_postgres.arm.recording import Recording, RecordPolicy, recording_to
from aks_postgres.arm.response_checks import (
    BoundedResponse,
    OwnHostPolicy,
    ShapePolicy,
    TimeLimitPolicy,
    refuse_somebody_elses,
    whole,
)
from aks_postgres.arm.responses import Answer, Json, answer_of, json_of
from aks_postgres.limits import limits
from aks_postgres.reports.journal import journal
from aks_postgres.reports.plan import PlannedResource

if TYPE_CHECKING:
    from azure.mgmt.authorization.v2022_04_01.aio import AuthorizationManagementClient
    from azure.mgmt.containerservice.aio import ContainerServiceClient
    from azure.mgmt.dashboard.aio import DashboardManagementClient
    from azure.mgmt.loganalytics.aio import LogAnalyticsManagementClient
    from azure.mgmt.monitor.aio import MonitorManagementClient
    from azure.mgmt.msi.v2024_11_30.aio import ManagedServiceIdentityClient
    from azure.mgmt.network.aio import NetworkManagementClient
    from azure.mgmt.resource.resources.aio import ResourceManagementClient
    from azure.mgmt.storage.aio import StorageManagementClient

    from aks_postgres.spec.ignore_changes import IgnoredChanges

# Real seconds. A new connection takes well under one.
_CONNECT_TIMEOUT_S = 10


class FreshTokenPolicy(AsyncBearerTokenCredentialPolicy[Any, Any]):
    """Sends the access token; when ARM says it has expired, sends the request once more with a new one.

    azure-core answers claims challenges only, and azure-identity hands out its cached token again.
    """

    def __init__(self, credential: RenewableCredential, scope: str) -> None:
        super().__init__(credential, scope)
        self._renewable = credential

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send; on 401 ExpiredAuthenticationToken renew and send again."""
        response = await super().send(request)
        if (
            response.http_response.status_code == 401
            and "expired" in str(json_of(await whole(request, response))).casefold()
        ):
            journal().note("the access token had expired; going on with a new one", logging.INFO)
            await self._renewable.renew()
            self._token = None
            response = await super().send(request)
        return response


async def answered_or_not(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Say that an answer was lost, instead of letting aiohttp send a PUT or DELETE once more by itself.

    The request may have been acted on, and only a look at the resource tells (`arm.reconcile`).
    """
    if request.method in ("GET", "HEAD"):
        return await send(request)
    try:
        return await send(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise  # never sent, and never repeated by aiohttp
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(f"connection lost before the answer: {error}") from error


class ErrorPolicy(AsyncHTTPPolicy[Any, Any]):
    """Raises errors before an SDK client reads them: some stumble over a gateway's error page."""

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send, and raise unless it went well.

        Raises:
            ArmFault: what refused isn't Azure.
            HttpResponseError: Azure refused.
        """
        response = await self.next.send(request)
        if response.http_response.status_code >= 300 and request.http_request.method != "HEAD":
            found = await whole(request, response)
            refuse_somebody_elses(found)
            raise HttpResponseError(response=found)
        return response


@dataclass
class Azure:
    """SDK clients over one pipeline, each made when first asked for (their imports cost up to 0.3 s)."""

    subscription_id: str
    endpoint: str
    account: str
    pipeline: AsyncPipeline[Any, Any]
    credential: Any
    http: aiohttp.ClientSession
    gate: Gate
    quotes_etags: bool = False
    """Whether Azure has shown in this run that it wants If-Match quoted (`arm.if_match`)."""
    kubeconfigs: dict[tuple[str, str], bytes] = field(default_factory=dict, repr=False)
    """Of clusters, by group and name; secret, in memory only, and gone with the run."""
    fetched: dict[str, bytes] = field(default_factory=dict, repr=False)
    """Pinned files of the run, by their SHA-256: what the preflight has seen is what is installed."""
    looked_at: dict[tuple[str, str], PlannedResource] = field(default_factory=dict, repr=False)
    """What a plan found about each resource, by step and ID."""
    ignored: IgnoredChanges | None = None
    """What the spec leaves alone of what is there."""
    facts: CloudFacts = field(default_factory=CloudFacts)
    """What the cloud says of itself."""
    recording: Recording | None = None
    """What keeps every exchange, where that was asked for."""
    assigns_roles: bool = True
    """Whether this run gives and takes roles; else it looks for them (`roles: verify`)."""

    @property
    def queue_s(self) -> float:
        """Azure seconds that a read waits for its turn now (`arm.rate_limit`)."""
        return bucket(self.account, "reads").queue_s

    def _client(self, kind: type[Any]) -> Any:
        return kind(self.credential, self.subscription_id, base_url=self.endpoint, pipeline=self.pipeline)

    @cached_property
    def resources(self) -> ResourceManagementClient:
        """Resource groups, providers, and resources by ID."""
        from azure.mgmt.resource.resources.aio import ResourceManagementClient

        return self._client(ResourceManagementClient)  # type: ignore[no-any-return]

    @cached_property
    def identities(self) -> ManagedServiceIdentityClient:
        """User-assigned managed identities."""
        from azure.mgmt.msi.v2024_11_30.aio import ManagedServiceIdentityClient

        return self._client(ManagedServiceIdentityClient)  # type: ignore[no-any-return]

    @cached_property
    def storage(self) -> StorageManagementClient:
        """Storage accounts and their containers."""
        from azure.mgmt.storage.aio import StorageManagementClient

        return self._client(StorageManagementClient)  # type: ignore[no-any-return]

    @cached_property
    def authorization(self) -> AuthorizationManagementClient:
        """Role assignments."""
        from azure.mgmt.authorization.v2022_04_01.aio import AuthorizationManagementClient

        return self._client(AuthorizationManagementClient)  # type: ignore[no-any-return]

    @cached_property
    def dashboard(self) -> DashboardManagementClient:
        """Managed Grafana."""
        from azure.mgmt.dashboard.aio import DashboardManagementClient

        return self._client(DashboardManagementClient)  # type: ignore[no-any-return]

    @cached_property
    def monitor(self) -> MonitorManagementClient:
        """Azure Monitor workspaces, data collection endpoints, rules and associations."""
        from azure.mgmt.monitor.aio import MonitorManagementClient

        return self._client(MonitorManagementClient)  # type: ignore[no-any-return]

    @cached_property
    def log_analytics(self) -> LogAnalyticsManagementClient:
        """Log Analytics workspaces."""
        from azure.mgmt.loganalytics.aio import LogAnalyticsManagementClient

        return self._client(LogAnalyticsManagementClient)  # type: ignore[no-any-return]

    @cached_property
    def container_service(self) -> ContainerServiceClient:
        """AKS clusters and node pools."""
        from azure.mgmt.containerservice.aio import ContainerServiceClient

        return self._client(ContainerServiceClient)  # type: ignore[no-any-return]

    @cached_property
    def network(self) -> NetworkManagementClient:
        """Public IP addresses."""
        from azure.mgmt.network.aio import NetworkManagementClient

        return self._client(NetworkManagementClient)  # type: ignore[no-any-return]

    @cached_property
    def _arm(self) -> AsyncPipelineClient[Any, Any]:
        return AsyncPipelineClient(base_url=self.endpoint, pipeline=self.pipeline)

    async def get(self, path_or_url: str, api_version: str | None = None, **query: str) -> Answer:
        """GET what no SDK client has an operation for.

        Args:
            path_or_url: a path under ARM, or a whole URL (an operation's status) that is used as it is.
            api_version: ARM API version; leave out for a whole URL.
            query: further query parameters, without the leading `$`, which is added.
        """
        url = path_or_url if path_or_url.startswith("https://") else f"{self.endpoint}{path_or_url}"
        params = {f"${key}": value for key, value in query.items()}
        if api_version:
            params["api-version"] = api_version
        return await self._sent(HttpRequest("GET", url, params=params))

    async def ask(self, path: str, api_version: str, body: Json) -> Answer:
        """POST a question that no SDK client has an operation for, and that changes nothing.

        Args:
            path: under ARM; the gate knows its last part as a read.
            api_version: ARM API version.
            body: the question.
        """
        params = {"api-version": api_version}
        return await self._sent(HttpRequest("POST", f"{self.endpoint}{path}", params=params, json=body))

    async def _sent(self, request: HttpRequest) -> Answer:
        response = await self._arm.send_request(request)
        if response.status_code not in (200, 202, 204):
            raise HttpResponseError(response=response)
        return answer_of(response)


@functools.cache
def _trusted(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """The certificates that are trusted: reading them takes 20 ms, and the runs of a fleet can share them."""
    return ssl.create_default_context()


_current: ContextVar[Azure] = ContextVar("azure")


def current_azure() -> Azure:
    """The run's connection to Azure. Only `runs.step` asks for it, and hands it to every step."""
    return _current.get()


@asynccontextmanager
async def open_azure(
    subscription_id: str, *, read_only: bool = False, planning: bool = False
) -> AsyncIterator[Azure]:
    """Connect to Azure and make sure that the credential works.

    Args:
        subscription_id: where everything is.
        read_only: refuse every write with `WouldWrite`.
        planning: read only too, but a step that would write says what, and the next ones go on from that.

    Raises:
        CredentialsRefused: within 10 seconds, naming the source that was tried.
    """
    endpoint = arm_endpoint()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=_trusted(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")), limit=64
        ),
        auto_decompress=False,  # azure-core does it
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,
        middlewares=(answered_or_not,),
        request_class=GatedRequest,
        response_class=BoundedResponse,
    )
    try:
        transport = AioHttpTransport(
            session=session,
            session_owner=False,
            connection_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=limits.arm_read_s,
        )
        facts = await cloud_facts(session, endpoint)
        async with open_credential(facts, transport) as credential:
            gate = Gate("plan" if planning else "read" if read_only else "write")
            account = f"{endpoint} {subscription_id} {os.environ.get('AZURE_CLIENT_ID', '')}".casefold()
            recording = recording_to(endpoint)
            # No retry policy and no provider registration on the side: `arm.retry` repeats, and says so.
            pipeline: AsyncPipeline[Any, Any] = AsyncPipeline(
                transport,
                policies=[
                    OwnHostPolicy(endpoint),
                    ShapePolicy(),
                    ErrorPolicy(),
                    PacePolicy(account),
                    TimeLimitPolicy(2 * limits.arm_read_s),
                    RequestIdPolicy(),
                    HeadersPolicy(),
                    UserAgentPolicy("aks-postgres"),
                    ProxyPolicy(),
                    ContentDecodePolicy(),
                    FreshTokenPolicy(credential, f"{facts.audience}/.default"),
                    *([RecordPolicy(recording)] if recording else []),
                    GatePolicy(gate),  # the last: every attempt passes it
                ],
            )
            opened = Azure(
                subscription_id,
                endpoint,
                account,
                pipeline,
                credential,
                session,
                gate,
                facts=facts,
                recording=recording,
            )
            token = _current.set(opened)
            try:
                yield opened
            finally:
                _current.reset(token)
    finally:
        await session.close()
