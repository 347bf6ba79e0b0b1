"""Numbers, verdicts and methods as sentences and cells, escaped for where they go.

Imports: report.statistics and report.data.
"""
