"""Real images: read, brought to the scale of training and back, and told from glass without a network."""
