"""The operator's process: watches, plans, writes. Everything it decides is decided in `havip.plan`.

No address lives or dies by this process: it may be gone for hours and VIPs keep answering and failing over.
"""
