"""The command `havip`: for people, and for the chart's Jobs.

Each command is a thin layer over what the other packages decide; nothing here knows more than they do. What goes
wrong is said in one line, never as a traceback.
"""
