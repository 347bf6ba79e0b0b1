"""Workers as jobs of Slurm or tasks of Ray.

Imports: engine.workers, and everything that engine.workers may import.
"""
