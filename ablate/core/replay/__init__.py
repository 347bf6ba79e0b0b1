"""The core `replay`: the founding report's program, unchanged.

Imports: the wings of core below ddpm_dip, never ddpm_dip.
"""
