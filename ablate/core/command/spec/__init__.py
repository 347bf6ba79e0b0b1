"""What a study file says about a command: templates, where metrics come from, factors; read, and nothing run.

Imports: the shared words.
"""
