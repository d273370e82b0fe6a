"""Training a list of configs under the same conditions, and putting their results into one table."""
