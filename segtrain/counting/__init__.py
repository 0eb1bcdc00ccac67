"""From a label map to cells: touching cells are split, each is measured, and cells are counted by a laboratory's rules."""
