"""What a comparison of trainings is made of: who takes part, under which budget, and the table."""
