"""Examples. Each file is a script that runs as it stands; this one is here so that the tests can import them."""
