"""Plugins for every test below; fixtures belong to the folders that use them."""

pytest_plugins = ["tests.side_by_side"]
