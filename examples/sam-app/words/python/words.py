"""What several functions would share."""


def join(greeting, name):
    return f"{greeting}, {name}!"
