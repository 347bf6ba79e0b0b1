"""Seeding, numerics, the stage cache, the registry of cores and what data they need.

Imports: the shared words. No other wing of core.
"""
