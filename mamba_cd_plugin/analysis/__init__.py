"""Benchmarks, model complexity, ablations, and checks of predictions."""
