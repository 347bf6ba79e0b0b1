"""Experiment trackers that are told how a run goes: MLflow, Weights & Biases, TensorBoard.

`background.py` listens to a run and tells a tracker in a thread; `choose.py` turns ``mlflow:URI`` into a tracker.

Imports: the shared words, study, the engine's display events, and the address words of storage. No statistics.
"""
