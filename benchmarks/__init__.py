"""Benchmarks: every figure is a ratio of two sides measured in turn in one run, with their numbers compared."""
