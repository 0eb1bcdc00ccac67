"""From a label map to cells: what touches is parted, each cell is measured, and cells are counted by a laboratory's
rules."""
