"""What a run tells of its network to whoever is handed it: the model card."""

from segtrain.card.text import model_card

__all__ = ["model_card"]
