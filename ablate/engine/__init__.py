"""WHAT happens next: the pure state, slots, batches, workers, and the loop that carries out the state's actions.

Imports: study, core and storage; of its wings all: rules, display and records, workers, clusters.
"""
