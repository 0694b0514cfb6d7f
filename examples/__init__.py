"""Examples. Each other file is a complete script. This file lets the tests import them."""
