"""One format per file: CSV, JSON, LaTeX, Markdown, the terminal.

Imports: report.statistics, data and text.
"""
