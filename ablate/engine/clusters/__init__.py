"""Workers as jobs of Slurm or tasks of Ray.

Imports: engine.workers and what it may import.
"""
