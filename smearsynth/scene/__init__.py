"""The plan of a smear: every placement, optical parameter, label and instance id, and no colour."""
