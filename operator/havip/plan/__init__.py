"""Decisions, pure: frozen values in, frozen values out.

No clock, no logger, no await, no I/O; the time comes in with the snapshot and problems come out as values.
"""
