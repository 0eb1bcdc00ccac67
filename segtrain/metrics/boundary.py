"""How near the predicted outlines lie to the true ones, class by class. On the host: for evaluation, not training."""
