"""WHAT the user types: one file per command, heavy imports inside the command.

Imports: the Python API and every room below it.
"""
