"""Claims: numbers as they were printed, and what they show of themselves."""
