"""WHAT happens next: pure state, slots, batches, workers, and the loop that carries out what the state asks for.

Imports: study, core and storage; of its wings all: rules, display and records, workers, clusters.
"""
