"""Scenarios that need a whole Kubernetes: the operator installed by Helm, the API server, kubelets, pods."""
