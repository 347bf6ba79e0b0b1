"""Numbers, verdicts and methods as sentences and cells, escaped for their format.

Imports: report.statistics and report.data.
"""
