"""The pure state machine: events in, actions out. No file, clock or process.

Imports: the shared words. No other wing of engine.
"""
