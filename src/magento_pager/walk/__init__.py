"""What to ask, in what order, and when it is enough. Knows no network and no files."""
