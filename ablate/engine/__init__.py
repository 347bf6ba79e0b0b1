"""WHAT happens next: pure state, slots, batches, workers, and the loop that carries out what the state asks for."""
