"""The core `replay`: the founding report's program as it stands.

Imports: the wings of core below ddpm_dip, never ddpm_dip.
"""
