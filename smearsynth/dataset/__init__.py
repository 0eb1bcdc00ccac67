"""A dataset: a folder of shards, their index and everything that explains and rebuilds them."""
