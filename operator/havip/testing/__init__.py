"""For tests, ours and those of providers outside this tree: builders of valid values.

Nothing of the product imports it.
"""
