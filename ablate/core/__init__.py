"""HOW a trial is computed: the only folder that imports torch (and only inside its modules, never here).

Imports: the shared words. Between its wings, only from later to earlier: shared, schedules, settings, data, programs,
diffusion and dip, scores; then the cores ddpm_dip and replay, which do not know each other.
"""
