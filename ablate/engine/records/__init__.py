"""What a run keeps: lock, folders, outcomes, archives; and the audit of them.

Imports: engine.rules.
"""
