"""The sections of report.html, and the page that joins them.

Imports: every wing of report above.
"""
