"""What functions with this layer share."""

WORDS = {"de": "Hallo", "en": "Hello", "es": "Hola", "fr": "Bonjour"}


def greet(name, language):
    if language not in WORDS:
        raise ValueError(f"there is no greeting in {language}")
    return f"{WORDS[language]}, {name}!"
