"""A dataset in the form that other tools read: a module per format, and what all of them share."""
