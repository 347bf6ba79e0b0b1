"""Worker processes, their slots, the messages to and from them, and the pool that holds them.

Imports: engine.rules and engine.records.
"""
