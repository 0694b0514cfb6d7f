"""Rows into files that can be trusted. Does not know where pages come from."""
