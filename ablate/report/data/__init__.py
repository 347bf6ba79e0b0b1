"""Tables of trials, curves and provenance, as pandas frames and frozen records.

Imports: report.statistics.
"""
