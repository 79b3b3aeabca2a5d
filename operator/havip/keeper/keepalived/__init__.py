"""keepalived from outside: its file, its check, its process, what it says."""
