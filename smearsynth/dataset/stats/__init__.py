"""What a dataset holds in figures: from its index and tables of objects, and of a few images their colours."""
