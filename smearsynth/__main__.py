"""`python -m smearsynth`: the command line, where its script is not on the path."""

from smearsynth.cli import main

main()
