"""WHAT is remembered: the only folder that imports optuna.

Imports: the shared words.
"""
