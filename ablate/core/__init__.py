"""HOW a trial is computed: the only folder that imports torch (and only inside its modules, never here)."""
