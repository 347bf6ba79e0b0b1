"""Workers as jobs of Slurm or tasks of Ray.

`slurm.py` submits jobs with sbatch, `srun.py` steps of an allocation, `ray_tasks.py` tasks; `job_launcher.py` is what
they share.

Imports: engine.workers, and everything that engine.workers may import.
"""
