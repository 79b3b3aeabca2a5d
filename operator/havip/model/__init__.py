"""What every process says and means: frozen values, enums and their wire forms. Standard library only.

Nothing here reads a file, a clock or a socket, and nothing here decides: decisions live in `havip.plan`.
"""
