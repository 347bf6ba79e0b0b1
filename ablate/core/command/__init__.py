"""The core `command`: any training script as it is, run as a process whose files and output hold the results.

Imports: shared, and its own spec; no torch.
"""
