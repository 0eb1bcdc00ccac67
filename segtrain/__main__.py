"""`python -m segtrain`, which is how torchrun starts it."""

from segtrain.cli import main

main()
