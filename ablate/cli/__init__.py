"""WHAT the user types: one file per command, heavy imports inside the command."""
