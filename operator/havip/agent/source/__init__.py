"""Where a node's orders come from and where its status goes: the API server, or a folder."""
