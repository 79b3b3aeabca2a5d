"""The talking half of a node pod: it reads what the node is to do and says what it does.

It has the API token and no capability. It must never be needed for a VIP to keep answering or to fail over:
when it is gone, keeper and haproxy go on with the last documents it wrote.
"""
