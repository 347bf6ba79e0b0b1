"""Deep Image Prior: the network, and fits of one or many images.

Imports: core.shared, schedules, settings, data and programs.
"""
