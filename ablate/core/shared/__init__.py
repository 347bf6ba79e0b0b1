"""Seeding, numerics, the stage cache, the registry of cores and what data they need.

Imports: the shared words and core.functions.
"""
