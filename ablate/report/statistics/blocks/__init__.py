"""Arms in several data sets or tasks: what is averaged, what each block says, and how arms rank over many of them.

Imports: as report.statistics.
"""
