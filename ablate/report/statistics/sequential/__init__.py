"""Several looks at growing numbers of seeds: their levels, when an arm is stopped, and how many seeds that takes.

Imports: as report.statistics.
"""
