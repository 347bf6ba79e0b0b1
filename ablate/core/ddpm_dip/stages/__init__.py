"""The stages of a recipe, each with a digest of the settings that it reads.

Imports: the wings of core below ddpm_dip.
"""
