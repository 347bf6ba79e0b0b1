"""One kind of figure per file, each with the data behind it.

Imports: report.statistics, data, text and formats.
"""
