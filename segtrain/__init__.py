"""Trains and measures segmentation networks on smear shards."""
