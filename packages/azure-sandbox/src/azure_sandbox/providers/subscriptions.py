"""Microsoft.Resources: the tenant, the subscription, its regions, and which providers it has registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure_sandbox.core.regions import regions
from azure_sandbox.core.responses import ArmError, Response
from azure_sandbox.providers.resources import provider

if TYPE_CHECKING:
    from azure_sandbox.core.call import Call
    from azure_sandbox.server.instance import Sandbox

Json = dict[str, Any]


@provider.list(
    "subscriptions", scope="path", type_name="subscriptions", permission="none", checks_group=False
)
def subscriptions_list(call: Call) -> Response:
    """Subscriptions_List: the one subscription.

    REST: https://learn.microsoft.com/rest/api/resources/subscriptions/list
    """
    return Response(200, {"value": [_subscription(call.sandbox)]})


@provider.get(
    "subscriptions/{subscription}",
    scope="path",
    type_name="subscriptions",
    permission="Microsoft.Resources/subscriptions/read",
)
def subscriptions_get(call: Call) -> Response:
    """Subscriptions_Get: the subscription."""
    return Response(200, _subscription(call.sandbox))


def _subscription(sandbox: Sandbox) -> Json:
    return {
        "id": sandbox.subscription,
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": sandbox.subscription_id,
        "tenantId": sandbox.tenant_id,
        "displayName": sandbox.subscription_name,
        "state": sandbox.settings["subscription_state"],
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


@provider.list("tenants", scope="path", type_name="subscriptions", permission="none")
def tenants_list(call: Call) -> Response:
    """Tenants_List: the one tenant."""
    tenant = call.sandbox.tenant_id
    shown = {
        "id": f"/tenants/{tenant}",
        "tenantId": tenant,
        "tenantCategory": "Home",
        "displayName": "Sandbox",
    }
    return Response(200, {"value": [shown]})


@provider.list(
    "subscriptions/{subscription}/locations",
    scope="path",
    type_name="subscriptions",
    permission="Microsoft.Resources/subscriptions/locations/read",
)
def subscriptions_list_locations(call: Call) -> Response:
    """Subscriptions_ListLocations: the regions that the data tables know.

    REST: https://learn.microsoft.com/rest/api/resources/subscriptions/list-locations
    """
    value = []
    for location in regions().values():
        shown: Json = {
            "id": f"{call.sandbox.subscription}/locations/{location.name}",
            "name": location.name,
            "type": "Region",
            "displayName": location.display_name,
            "regionalDisplayName": location.display_name,
            "metadata": {
                "regionType": "Physical",
                "regionCategory": "Recommended" if location.zones else "Other",
                "geography": location.geography,
            },
        }
        if location.zones:
            shown["availabilityZoneMappings"] = [
                {"logicalZone": zone, "physicalZone": f"{location.name}-az{zone}"} for zone in location.zones
            ]
        value.append(shown)
    return Response(200, {"value": value})


# Registrations.


@provider.list(
    "subscriptions/{subscription}/providers",
    scope="path",
    type_name="providers",
    permission="Microsoft.Resources/subscriptions/providers/read",
)
def providers_list(call: Call) -> Response:
    """Providers_List: every namespace that the sandbox knows.

    REST: https://learn.microsoft.com/rest/api/resources/providers/list
    """
    names = sorted(set(call.sandbox.router.namespaces.values()) | set(FURTHER_NAMESPACES))
    return Response(200, {"value": [_provider(call.sandbox, name) for name in names]})


@provider.get(
    "subscriptions/{subscription}/providers/{namespace}",
    scope="path",
    type_name="providers",
    permission="Microsoft.Resources/subscriptions/providers/read",
)
def providers_get(call: Call) -> Response:
    """Providers_Get: one namespace and its registration."""
    return Response(200, _provider(call.sandbox, _namespace(call)))


@provider.post(
    "subscriptions/{subscription}/providers/{namespace}/register",
    scope="path",
    type_name="providers",
    permission="{namespace}/register/action",
)
def providers_register(call: Call) -> Response:
    """Providers_Register: Registering at once, Registered after a while.

    REST: https://learn.microsoft.com/rest/api/resources/providers/register
    """
    namespace = _namespace(call)
    sandbox, registrations = call.sandbox, call.sandbox.state("registrations")
    if registration_state(sandbox, namespace) not in ("Registered", "Registering"):
        key = namespace.lower()
        registrations[key] = "Registering"
        delay_s = sandbox.durations.seconds("provider_registration", key)
        sandbox.clock.call_later(delay_s, lambda: registrations.__setitem__(key, "Registered"))
    return Response(200, _provider(sandbox, namespace))


@provider.post(
    "subscriptions/{subscription}/providers/{namespace}/unregister",
    scope="path",
    type_name="providers",
    permission="{namespace}/unregister/action",
)
def providers_unregister(call: Call) -> Response:
    """Providers_Unregister: Unregistered at once, unless resources are left."""
    namespace = _namespace(call)
    prefix = namespace.lower() + "/"
    left = [item for item in call.sandbox.store if item.type.lower().startswith(prefix)]
    if left:
        text = (
            f"The subscription cannot be unregistered from resource namespace '{namespace}'. Please delete "
            f"existing resources for the provider namespace. Resources: {left[0].id}"
        )
        raise ArmError(409, "CannotUnregisterSubscription", text)
    call.sandbox.state("registrations")[namespace.lower()] = "Unregistered"
    return Response(200, _provider(call.sandbox, namespace))


# Namespaces that an environment registers though nothing of theirs is called here.
FURTHER_NAMESPACES = ("Microsoft.KeyVault",)


def registration_state(sandbox: Sandbox, namespace: str) -> str:
    """A namespace's registration: what happened since the reset, else the settings."""
    known: str | None = sandbox.state("registrations").get(namespace.lower())
    if known is not None:
        return known
    initial: dict[str, bool] = {name.lower(): value for name, value in sandbox.settings["registered"].items()}
    return "Registered" if initial.get(namespace.lower(), True) else "NotRegistered"


def _namespace(call: Call) -> str:
    wanted = call.names["namespace"].lower()
    known = {name.lower(): name for name in (*FURTHER_NAMESPACES, *call.sandbox.router.namespaces.values())}
    if wanted not in known:
        text = f"The resource namespace '{call.names['namespace']}' is invalid."
        raise ArmError(404, "InvalidResourceNamespace", text)
    return known[wanted]


def _locations(sandbox: Sandbox, namespace: str) -> list[str]:
    """Where a provider's types are offered: everywhere, but for Managed Grafana.

    https://learn.microsoft.com/azure/managed-grafana/known-limitations
    """
    here = sandbox.regions().values()
    return [one.display_name for one in here if one.grafana or namespace != "Microsoft.Dashboard"]


def _provider(sandbox: Sandbox, namespace: str) -> Json:
    return {
        "id": f"{sandbox.subscription}/providers/{namespace}",
        "namespace": namespace,
        "resourceTypes": [
            {
                "resourceType": kind.name,
                "locations": _locations(sandbox, namespace),
                "apiVersions": list(reversed(kind.api_versions)),
                "capabilities": "SupportsTags, SupportsLocation" if kind.tracked else "None",
            }
            for kind in sandbox.router.types_of(namespace)
        ],
        "registrationState": registration_state(sandbox, namespace),
        "registrationPolicy": "RegistrationRequired",
    }
