"""From a label map to cells: touching cells are split, each is measured, and counted by a laboratory's rules."""
