"""One file per command: its options, and what it prints.

Imports: api, display, cli.options, and the rooms below. No other command.
"""
