"""The real Kubernetes of the tests: every node a network namespace, every binary the real one."""
