"""Metrics of a whole set. Each takes batches by `update(logits, label)`, adds up processes by `all_reduce()` and gives
plain numbers by `report()`; label 255 enters none."""
