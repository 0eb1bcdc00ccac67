"""A dataset on one HTML page: what it holds, what it was made of, how it looks and how to make it again."""
