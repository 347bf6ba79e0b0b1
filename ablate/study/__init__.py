"""WHAT is asked: the study, its factors and arms, and the plan. Imports neither torch nor optuna.

Imports: the shared words.
"""
