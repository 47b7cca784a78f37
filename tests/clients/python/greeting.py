"""Comes in a layer."""


def greet(name):
    return f"Hello, {name}"
