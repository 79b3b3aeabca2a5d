"""Figures: what was promised, what was measured, by which command, on which machine."""
