"""The walk: which windows to request, in what order, and when a list is complete. No network and no files."""
