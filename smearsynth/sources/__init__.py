"""Source databases as their owners ship them: one module per database, each a list of where its cells are."""
