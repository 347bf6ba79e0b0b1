"""A function as a core: its signature gives the factors, what it returns the metrics. Imports no torch.

Imports: the shared words.
"""
