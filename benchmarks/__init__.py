"""Measurements, run as modules: `python -m benchmarks.NAME`. Each prints JSON lines."""
