"""What a run stores: lock, folders, outcomes, archives; and the audit that checks them.

Imports: engine.rules.
"""
