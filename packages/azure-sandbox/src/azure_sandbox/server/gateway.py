"""ARM's front door: everything that is checked before a resource provider sees a request, in ARM's order.

Token, api-version, subscription, operation, throttling, permission, resource group, deny assignment, locks,
provider registration, body, location, policy. Texts are Azure's where a recording or a report has them (see
each check).
"""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING, Any

from azure_sandbox.core.call import Call, merge_patch
from azure_sandbox.core.json_text import read_json
from azure_sandbox.core.policies import denying, deploy_later, modify, policy_error
from azure_sandbox.core.provider import Route
from azure_sandbox.core.rbac import EVERYONE, denies
from azure_sandbox.core.resource import Principal, Resource
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.core.throttling import DELETES, GLOBAL, READS, WRITES
from azure_sandbox.providers.subscriptions import registration_state
from azure_sandbox.server.routing import Address, parse

if TYPE_CHECKING:
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]

GROUP = "Microsoft.Resources/resourceGroups"
LOCK = "Microsoft.Authorization/locks"
# https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits
MAX_BODY = 4 * 1024 * 1024
GATEWAY = {"x-ms-failure-cause": "gateway"}
STATUS_PATH = re.compile(
    r"/(?P<kind>operations|operationstatuses|operationresults|asyncoperations|locationoperationstatuses"
    r"|locationoperationresults)/(?P<id>[0-9a-f-]{36}(\*[0-9a-f]{64})?)/?$",
    re.I,
)
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-[a-z]+)?")
AUDIENCES = {
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://management.azure.com/",
}


class Request:
    """A request to ARM as it came in.

    Args:
        method: HTTP method.
        path: decoded path.
        query: raw query string.
        headers: by lower-cased name.
        raw: the body.
        base_url: scheme and host for URLs handed out.
    """

    def __init__(
        self, method: str, path: str, query: str, headers: dict[str, str], raw: bytes, base_url: str
    ) -> None:
        self.method = method
        self.address: Address = parse(path)
        self.query = {
            name.lower(): value for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True)
        }
        self.headers = headers
        self.raw = raw
        self.base_url = base_url
        self.principal: Principal | None = None
        self.rate_headers: dict[str, str] = {}

    @property
    def api_version(self) -> str | None:
        """The api-version asked for."""
        return self.query.get("api-version")

    @property
    def writes(self) -> bool:
        """Whether it isn't a read."""
        return self.method not in ("GET", "HEAD")


class Gateway:
    """Routes requests to the providers of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def find(self, request: Request) -> tuple[Route, dict[str, str]] | None:
        """The operation that a request means, if it is emulated."""
        return self._sandbox.router.find(request.method, request.address)

    def operation_name(self, request: Request, found: tuple[Route, dict[str, str]] | None) -> str | None:
        """The REST operation id of a request, for the ledger and for faults."""
        if found is not None:
            return found[0].operation
        return "Operations_Poll" if STATUS_PATH.search(request.address.path) else None

    def authenticate(self, request: Request) -> Principal:
        """Who is calling, or 401."""
        own = self._sandbox.endpoint.lower()
        request.principal = self._sandbox.entra.caller(
            request.headers.get("authorization"),
            lambda audience: audience in AUDIENCES or audience == own or audience == request.base_url.lower(),
        )
        return request.principal

    async def handle(
        self, request: Request, found: tuple[Route, dict[str, str]] | None, fault: Json | None
    ) -> Response:
        """Check a request and let its provider answer."""
        sandbox, address = self._sandbox, request.address
        principal = self.authenticate(request)
        if not request.api_version:
            message = "The api-version query parameter (?api-version=) is required for all requests."
            raise ArmError(400, "MissingApiVersionParameter", message, headers=GATEWAY)
        if address.subscription and address.subscription.lower() != sandbox.subscription_id:
            text = f"The subscription '{address.subscription}' could not be found."
            raise ArmError(404, "SubscriptionNotFound", text, headers=GATEWAY)
        self._throttle(request, principal)
        status = STATUS_PATH.search(address.path)
        if status and found is None:
            return self._poll(request, status)
        if found is None:
            raise self._not_emulated(request)
        route, names = found
        self._check_version(request, route)
        call = self._call(request, route, names, principal, fault)
        self._check_permission(call)
        if address.group and route.checks_group:
            self._check_group(call)
        if request.writes:
            self._check_subscription(call)
            self._check_denials(call)
            self._check_locks(call)
            self._check_registration(call)
            call.body = self._body(request)
            if route.method == "PUT" and route.names_resource:
                self._check_location(call)
            if route.method in ("PUT", "PATCH"):
                self._check_identity(call)
                modify(sandbox, call)
                self._check_policies(call)
        for limit in route.provider.limits:
            limit(call)
        answer = route.handler(call)
        answer = answer if isinstance(answer, Response) else await answer
        if route.method in ("PUT", "PATCH") and answer.status < 300:
            deploy_later(sandbox, call)
        return answer

    # The checks, in order.

    def _throttle(self, request: Request, principal: Principal) -> None:
        """https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling."""
        if request.method == "DELETE":
            kind, limit = "deletes", DELETES
        elif request.writes:
            kind, limit = "writes", WRITES
        else:
            kind, limit = "reads", READS
        throttling, subscription = self._sandbox.throttling, request.address.subscription
        own, shared = (kind, subscription, principal.object_id), (f"global-{kind}", subscription)
        wait_s = throttling.take(own, limit.capacity, limit.per_s)
        wait_s = wait_s or throttling.take(shared, limit.capacity * GLOBAL, limit.per_s * GLOBAL)
        level = "subscription" if subscription else "tenant"
        request.rate_headers = {
            f"x-ms-ratelimit-remaining-{level}-{kind}": str(throttling.remaining(own, limit.capacity)),
            f"x-ms-ratelimit-remaining-{level}-global-{kind}": str(
                throttling.remaining(shared, limit.capacity * GLOBAL)
            ),
        }
        if wait_s > 0:
            # ARM asks for whole seconds; reports have waits from 0 to several hundred.
            code = "SubscriptionRequestsThrottled"
            text = (
                f"Number of '{kind}' requests for subscription '{subscription}' actor "
                f"'{principal.object_id}' exceeded. Please try again after '{int(wait_s) + 1}' seconds after "
                "additional tokens are available. Refer to https://aka.ms/arm-throttling for additional "
                "information."
            )
            raise ArmError(429, code, text, retry_after_s=max(wait_s, 1.0), headers=GATEWAY)

    def _poll(self, request: Request, found: re.Match[str]) -> Response:
        operation = self._sandbox.operations.get(urllib.parse.unquote(found["id"]))
        if operation is None:
            text = f"The operation '{found['id']}' could not be found."
            raise ArmError(404, "OperationNotFound", text)
        kind = found["kind"].lower()
        paths = [path for path in (operation.polling.async_path, operation.polling.location_path) if path]
        is_location = operation.polling.async_path is None or f"/{kind}/" not in paths[0].lower()
        if len(paths) == 2 and paths[0] == paths[1]:  # Grafana: both headers name one URL.
            is_location = False
        return self._sandbox.operations.poll(operation, is_location=is_location, base_url=request.base_url)

    def _not_emulated(self, request: Request) -> ArmError:
        router, address = self._sandbox.router, request.address
        namespace = router.namespaces.get(address.namespace.lower(), address.namespace)
        what = f"{request.method} {address.path}"
        methods = router.methods(address)
        where = f"azure_sandbox/providers/{file_of(namespace) if namespace else 'resources.py'}"
        hint = f" Emulated here: {', '.join(methods)}." if methods else ""
        return ArmError(
            501,
            "NotImplemented",
            f"The sandbox doesn't emulate {what}; it would be added to {where}.{hint}",
            headers={"x-ms-failure-cause": "sandbox"},
        )

    def _check_version(self, request: Request, route: Route) -> None:
        """InvalidApiVersionParameter and NoRegisteredProviderFound.

        https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-register-resource-provider
        """
        version = request.api_version or ""
        kind = self._sandbox.router.type(f"{route.provider.namespace}/{route.type_name}")
        known = kind.api_versions if kind is not None else ()
        if version.lower() in known:
            return
        supported = ", ".join(reversed(known))
        if route.scope == "path" or not VERSION.fullmatch(version.lower()):
            text = f"The api-version '{version}' is invalid. The supported versions are '{supported}'."
            raise ArmError(400, "InvalidApiVersionParameter", text, headers=GATEWAY)
        raise ArmError(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for location '{self._location_of(request)}' and API "
            f"version '{version}' for type '{route.type_name}'. The supported api-versions are "
            f"'{supported}'. The supported locations are ''.",
            headers=GATEWAY,
        )

    def _location_of(self, request: Request) -> str:
        resource = self._sandbox.store.get(request.address.path)
        return resource.location if resource is not None else ""

    def _call(
        self,
        request: Request,
        route: Route,
        names: dict[str, str],
        principal: Principal,
        fault: Json | None,
    ) -> Call:
        store, address = self._sandbox.store, request.address
        canonical = store.canonical(_spelt(address, route))
        group = store.get(f"{self._sandbox.subscription}/resourceGroups/{address.group}")
        return Call(
            method=request.method,
            path=address.path,
            names=names,
            query=request.query,
            headers=request.headers,
            body={},
            api_version=(request.api_version or "").lower(),
            principal=principal,
            id=canonical,
            scope=store.canonical(address.scope) if address.scope != "/" else "/",
            subscription=address.subscription.lower(),
            group=group.name if group is not None else address.group,
            route=route,
            sandbox=self._sandbox,
            base_url=request.base_url,
            live=store.get(canonical),
            fault=fault,
        )

    def _check_permission(self, call: Call) -> None:
        # An extension resource is protected at the scope it extends; anything else at its own id, which for a
        # resource that doesn't exist yet inherits from its group.
        if call.route.permission == "none":
            return
        permission, scope = call.route.permission, call.scope if call.route.scope == "any" else call.id
        if "{namespace}" in permission:
            # A registration is the subscription's, its action the namespace's own:
            # https://github.com/hashicorp/terraform-provider-azurerm/issues/4410 (raw)
            sent = call.names["namespace"]
            permission = permission.format(namespace=self._sandbox.router.namespaces.get(sent.lower(), sent))
            scope = self._sandbox.subscription
        self._sandbox.rbac.check(call.principal, permission, scope)

    def _check_subscription(self, call: Call) -> None:
        """Refuse every write to a disabled subscription but deletions.

        https://learn.microsoft.com/azure/cost-management-billing/manage/subscription-states; the words are those
        of https://learn.microsoft.com/troubleshoot/azure (ReadOnlyDisabledSubscription), for a POST unverified.
        """
        state = self._sandbox.settings["subscription_state"]
        if state in ("Enabled", "PastDue") or call.method not in ("PUT", "PATCH"):
            return
        text = (
            f"The subscription '{self._sandbox.subscription_id}' is disabled and therefore marked as read only. You "
            "cannot perform any write actions on this subscription until it is re-enabled."
        )
        raise ArmError(409, "ReadOnlyDisabledSubscription", text, headers=GATEWAY)

    def _check_group(self, call: Call) -> None:
        group = self._sandbox.store.get(f"{self._sandbox.subscription}/resourceGroups/{call.group}")
        if group is None:
            text = f"Resource group '{call.group}' could not be found."
            raise ArmError(404, "ResourceGroupNotFound", text, headers=GATEWAY)
        if call.method in ("GET", "HEAD"):
            return
        if group.state == "Deleting" and call.method != "DELETE":
            text = (
                f"The resource group '{group.name}' is in deprovisioning state and cannot perform this "
                "operation."
            )
            raise ArmError(409, "ResourceGroupBeingDeleted", text, headers=GATEWAY)
        denied = group.notes.get("deny_assignment")
        if denied:
            # https://learn.microsoft.com/azure/azure-monitor/metrics/azure-monitor-workspace-manage
            raise ArmError(
                403,
                "DenyAssignmentAuthorizationFailed",
                f"The client '{call.principal.client_id}' with object id '{call.principal.object_id}' has "
                f"permission to perform action '{call.route.permission}' on scope '{call.id}'; however, the "
                f"access is denied because of the deny assignment with name '{denied}' and Id "
                f"'{self._sandbox.rng('deny', group.id).getrandbits(128):032x}' at scope '{group.id}'.",
                headers=GATEWAY,
            )

    def _check_denials(self, call: Call) -> None:
        """https://learn.microsoft.com/azure/role-based-access-control/deny-assignments."""
        kind = "Microsoft.Authorization/denyAssignments"
        if call.type.lower() == kind.lower():
            return
        me, target = call.principal.object_id.lower(), call.id.lower()
        for denial in self._sandbox.store.of_type(kind):
            properties = denial.properties
            scope = properties["scope"].lower()
            inherited = target.startswith(scope + "/") and not properties.get("doNotApplyToChildScopes")
            meant = {str(principal["id"]).lower() for principal in properties["principals"]} & {me, EVERYONE}
            excluded = {
                str(principal["id"]).lower() for principal in properties.get("excludePrincipals") or []
            }
            if (
                (target == scope or inherited)
                and meant
                and me not in excluded
                and denies(properties["permissions"], str(call.route.permission))
            ):
                name, action = properties["denyAssignmentName"], call.route.permission
                raise ArmError(
                    403,
                    "DenyAssignmentAuthorizationFailed",
                    f"The client '{call.principal.client_id}' with object id '{me}' has permission to perform action "
                    f"'{action}' on scope '{call.id}'; however, the access is denied because of the deny assignment "
                    f"with name '{name}' and Id '{denial.name}' at scope '{properties['scope']}'.",
                    headers=GATEWAY,
                )

    def _check_locks(self, call: Call) -> None:
        """https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources."""
        locks = self._sandbox.store.of_type(LOCK)
        if not locks or call.type.lower() == LOCK.lower():
            return
        target = call.id.lower()
        blocking = []
        for lock in locks:
            scope = lock.notes["scope"].lower()
            covers = target == scope or target.startswith(scope + "/")
            below = call.method == "DELETE" and scope.startswith(target + "/")
            read_only = lock.properties["level"] == "ReadOnly"
            if (covers and (read_only or call.method == "DELETE")) or below:
                blocking.append(lock)
        if blocking:
            verb = {"DELETE": "delete", "POST": "action"}.get(call.method, "write")
            scopes = ",".join(sorted({lock.notes["scope"] for lock in blocking}))
            raise ArmError(
                409,
                "ScopeLocked",
                f"The scope '{call.id}' cannot perform {verb} operation because following scope(s) are "
                f"locked: '{scopes}'. Please remove the lock and try again.",
                headers=GATEWAY,
            )

    def _check_registration(self, call: Call) -> None:
        namespace = call.route.provider.namespace
        if not call.subscription or registration_state(self._sandbox, namespace) == "Registered":
            return
        text = (
            f"The subscription is not registered to use namespace '{namespace}'. See "
            "https://aka.ms/rps-not-found for how to register subscriptions."
        )
        raise ArmError(
            409,
            "MissingSubscriptionRegistration",
            text,
            details=[
                {"code": "MissingSubscriptionRegistration", "target": namespace, "message": text},
            ],
            headers=GATEWAY,
        )

    def _body(self, request: Request) -> Any:
        if len(request.raw) > MAX_BODY:
            text = f"The size of the request body exceeds the maximum permissible limit of {MAX_BODY} bytes."
            raise ArmError(413, "RequestEntityTooLarge", text, headers=GATEWAY)
        if not request.raw.strip():
            return {}
        try:
            body = read_json(request.raw)
        except ValueError as error:
            text = f"The request content was invalid and could not be deserialized: '{error}'."
            raise ArmError(400, "InvalidRequestContent", text, headers=GATEWAY) from error
        wrong = None if isinstance(body, dict) else f"an object is expected, not {type(body).__name__}"
        if wrong is None:
            for name, kind in (("properties", dict), ("tags", dict), ("location", str), ("sku", dict)):
                if name == "tags" and request.method == "POST":
                    continue  # an action's are its own, such as those of a legal hold
                if body.get(name) is not None and not isinstance(body[name], kind):
                    wrong = f"'{name}' can't be {type(body[name]).__name__}"
        if wrong is None and isinstance(body.get("tags"), dict):
            wrong = next(
                (
                    f"the tag '{tag}' isn't text"
                    for tag, value in body["tags"].items()
                    if not isinstance(value, str)
                ),
                None,
            )
        if wrong is not None:
            text = f"The request content was invalid and could not be deserialized: '{wrong}'."
            raise ArmError(400, "InvalidRequestContent", text, headers=GATEWAY)
        return body

    def _check_location(self, call: Call) -> None:
        kind = self._sandbox.router.type(call.type)
        if kind is None or not kind.tracked or call.route.scope != "group":
            return
        wanted = call.body.get("location")
        if not wanted:
            text = "The location property is required for this definition."
            raise ArmError(400, "LocationRequired", text, headers=GATEWAY)
        live = call.live
        if live is not None and _folded(live.location) != _folded(wanted):
            raise ArmError(
                409,
                "InvalidResourceLocation",
                f"The resource '{live.name}' already exists in location '{live.location}' in resource group "
                f"'{call.group}'. A resource with the same name cannot be created in location '{wanted}'. "
                "Please select a new resource name.",
                headers=GATEWAY,
            )

    def _check_identity(self, call: Call) -> None:
        """https://github.com/hashicorp/terraform-provider-azurerm/issues/17082 (raw)."""
        identity = call.body.get("identity")
        wanted = identity.get("type") if isinstance(identity, dict) else None
        if not isinstance(wanted, str) or "userassigned" not in wanted.replace(" ", "").lower():
            return
        if not identity.get("userAssignedIdentities"):
            text = f"The identity ids must not be null or empty for '{wanted}' identity type."
            raise ArmError(400, "MissingIdentityIds", text, headers=GATEWAY)

    def _check_policies(self, call: Call) -> None:
        """https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-policy-requestdisallowedbypolicy."""
        # A PATCH is judged by the resource that it would leave.
        body = merge_patch(call.live.body, call.body) if call.method == "PATCH" and call.live else call.body
        for policy in denying(self._sandbox, call.type, body, call.id):
            raise policy_error(self._sandbox, policy, call.id)


def file_of(namespace: str) -> str:
    """The module that a namespace belongs into: `Microsoft.ContainerService` -> `container_service.py`."""
    name = namespace.rpartition(".")[2]
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() or "unknown"
    return f"{words}.py"


def _spelt(address: Address, route: Route) -> str:
    """The path with namespace and literals as the provider spells them."""
    if route.scope == "path":
        spelling = route.pattern.strip("/").split("/")
        sent = address.path.strip("/").split("/")
        return "/" + "/".join(
            given if wanted.startswith("{") else wanted for wanted, given in zip(spelling, sent, strict=True)
        )
    spelling = route.pattern.split("/")
    rest = (
        given if wanted.startswith("{") else wanted
        for wanted, given in zip(spelling, address.rest, strict=True)
    )
    scope = "" if address.scope == "/" else address.scope
    return f"{scope}/providers/{route.provider.namespace}/" + "/".join(rest)


def _folded(location: str) -> str:
    return location.replace(" ", "").lower()


def _at(body: Any, path: str) -> Any:
    for step in path.split("."):
        body = body.get(step) if isinstance(body, dict) else None
    return body


def shown(answer: Response, sandbox: Sandbox) -> Any:
    """The JSON of an answer."""
    return sandbox.view(answer.body) if isinstance(answer.body, Resource) else answer.body
