"""What a command shows: console, live view, tables, errors.

Imports: api and the rooms below it. No command.
"""
