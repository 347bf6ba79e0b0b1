"""Differences, tests, corrections, looks and verdicts: numbers in, `Comparison` out.

Imports: the shared words, study and storage. No other wing of report.
"""
