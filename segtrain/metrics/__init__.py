"""Metrics of a whole set. Those of pixels take batches by `update(logits, label)` and give plain numbers by `report()`;
label 255 enters none. What a training measures on the way also adds up its processes, by `all_reduce()`."""
