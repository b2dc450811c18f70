"""The resource providers: one module each, found by `sandbox.routing.load`."""
