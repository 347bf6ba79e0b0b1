"""WHAT is asked: study files, factors, arms, designs and the plan. Imports neither torch nor optuna."""
