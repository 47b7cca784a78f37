"""The layer workshop: build, inspect (doctor), look into, compare."""
