"""WHAT is remembered: the only folder that imports optuna."""
