"""Seeding, numerics, the stage cache, the registry of cores, what data they need, kills for memory.

Imports: the shared words and core.functions.
"""
