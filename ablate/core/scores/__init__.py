"""Image metrics and distances between sets of images.

Imports: core.shared, schedules, settings, data, programs, diffusion and dip.
"""
