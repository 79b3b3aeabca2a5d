"""HAVip operator: virtual IPs that outlive their node, declared in Kubernetes.

One distribution, several processes (`controller`, `agent`, `keeper`, `cli`), one vocabulary (`model`).
Nothing is imported here: the keeper must start without any dependency.
"""

__version__ = "0.1.0"
