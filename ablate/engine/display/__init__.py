"""What a run reports to its listeners: display events, the run log, the remaining time.

Imports: engine.rules.
"""
