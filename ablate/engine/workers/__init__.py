"""Worker processes, their slots, the messages to and from them, and the pool of workers.

Imports: engine.rules and engine.records.
"""
