"""The reference pages of the documentation, written from the code: ``python -m ablate.cli.reference docs``.

Imports: the command line, the Python API, the cores, and every room below them.
"""
