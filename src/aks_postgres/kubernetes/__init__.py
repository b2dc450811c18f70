"""A cluster's Kubernetes API, and what is installed through it: manifests and Helm charts."""
