"""`make demo`: the product's story on a real Kubernetes, told line by line with what was measured."""
