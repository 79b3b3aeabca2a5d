"""Everything the two commands need, from a fresh Debian 12 to images in the cache, each thing made once.

Runs on the standard library alone and on the machine's own Python 3.11: it is what installs the rest.
Nothing in here may name an address to download from; apt, pip, Go and mmdebstrap are configured by the machine.
"""
