"""Faults and what must hold while they last: each test reads like a sentence and prints its figures."""
