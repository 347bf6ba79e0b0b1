"""The Python API: run, plan, load, compare and report a study. The commands call it.

`front_door.py` holds the five functions; what they do is in the modules beside it (`execution.py`, `reports.py`).

Imports: every room but cli.
"""
