"""A cluster's Kubernetes API, how objects in it are brought to what is wanted, and what is installed through it."""
