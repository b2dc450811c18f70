"""The database's objects in Kubernetes, as pure functions of the spec, and how its status reads."""
