"""haproxy's configuration and sockets: rendered from typed values, checked, swapped, verified.

No text of a user gets here unparsed, and nothing here decides who holds a VIP.
"""
