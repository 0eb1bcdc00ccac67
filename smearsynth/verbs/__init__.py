"""What a user can have done, a module per verb: the command line and Python call the same functions."""
