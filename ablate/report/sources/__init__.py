"""Results of other tools as a table of trials: MLflow, TensorBoard, Weights & Biases, Optuna, Hydra.

Imports: storage, report.statistics and report.data.
"""
