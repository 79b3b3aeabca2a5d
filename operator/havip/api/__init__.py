"""The custom resources as pydantic models: the only source of `crds/`, and what the operator reads objects into.

Nothing here may talk to a cluster or decide anything; a rule that needs another object belongs in `havip.plan`.
"""
