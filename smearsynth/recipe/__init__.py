"""The recipe: one YAML file that decides a dataset. Read, validated with all faults told at once, resolved, hashed."""
