"""A real Kubernetes in network namespaces: what the demo and the `cluster` scenarios run on."""
