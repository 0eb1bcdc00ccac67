"""Folders of images and masks on their way to a dataset: pairs, masks to labels, splits, patches, files."""
