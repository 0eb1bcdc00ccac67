"""What a way of predicting is worth: on a split of a dataset, and on real fields."""
