"""One file per command: its options, and what it prints.

Imports: api, cli.display and cli.options. No other command.
"""
