"""What a run tells its listeners: display events, the run log, the time left.

Imports: engine.rules.
"""
