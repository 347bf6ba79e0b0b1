"""What a run, a plan and an error look like: at a terminal, in a log and in a notebook.

Imports: the shared words, study, storage and engine. No statistics: verdicts belong to the report.
"""
