"""The recipe: one YAML file that decides a dataset. Read, validated with all errors found at once, resolved, hashed."""
