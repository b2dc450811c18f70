"""The resource providers: one module each, found by `azure_sandbox.server.routing.load`."""
