"""Trained networks on images of any size: read in rows, predicted in tiles, brought back, in flat memory."""
