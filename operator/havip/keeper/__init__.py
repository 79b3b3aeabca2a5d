"""The privileged half of a node pod: PID 1 over keepalived. Imports `havip.model` and the standard library only.

It has NET_ADMIN and NET_RAW and no API token. It trusts nothing that it reads: the election document is
validated again, keepalived's FIFO is a hint, and only the kernel says which address this node holds.
MASTER and BACKUP, keepalived's own words, never leave this package.
"""
