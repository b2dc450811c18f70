"""The resource providers: one module each, found by `azure_sandbox.core.routing.load`."""
