"""Batched and compiled training: lanes, CUDA graphs, torch.compile.

Imports: core.shared and core.settings.
"""
