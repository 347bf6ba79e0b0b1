"""The Python API: run, plan, load, compare and report a study. The commands call it.

Imports: every room but cli.
"""
