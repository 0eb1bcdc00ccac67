"""How far synthetic smears are from real fields, measured on both at one scale and shown side by side."""
