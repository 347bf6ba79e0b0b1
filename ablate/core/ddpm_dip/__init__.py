"""The core `ddpm-dip`: DDPM, DIP, and DIP as initial prior.

Imports: every wing of core but replay.
"""
