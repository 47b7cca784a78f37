import pytest

from lamella.awsapi.patterns import compile_java
from lamella.awsapi.spec import ServiceSpec


@pytest.mark.parametrize(("service", "least"), [("lambda", 50), ("lambda-core", 10)])
def test_every_pattern_of_the_models_compiles(service: str, least: int) -> None:
    model = ServiceSpec.load(service).model
    compiled = 0
    for name in model.shape_names:
        pattern = model.shape_for(name).metadata.get("pattern")
        if pattern is not None:
            compile_java(pattern)
            compiled += 1
    assert compiled > least


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"\d{3}", "123", True),
        (r"\d{3}", "١٢٣", False),  # Java's \d is ASCII
        (".*", "a b", True),
        (".*", "a\nb", False),
        (".*", "a\u2028b", False),
        (r"a\.b", "a.b", True),
        (r"a\.b", "axb", False),
        (r"[a.]+", "a.a", True),
        (r"[^.]x", "\nx", True),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Zürich №1 中_é\u3000½:/=+-@.", False),  # the numero sign is a symbol
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Zürich 1 中_é\u3000½:/=+-@.Ⅷ", True),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "a#b", False),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "a\tb", False),
        (r"[0-9A-Za-z\.\-_]*(?<!\.)", "bucket.", False),
        (r"[0-9A-Za-z\.\-_]*(?<!\.)", "bucket.x", True),
        (r"[^\p{C}]*", "für alle №1 中 \u3000😀", True),
        (r"[^\p{C}]*", "", True),
        (r"[^\p{C}]*", "a\nb", False),
        (r"[^\p{C}]*", "a\x85", False),
        (r"[^\p{C}]*", "right to left \u202e", False),
        (r"[^\p{C}]*", "\ud800", False),
        (r"((?!^\d+$)^[0-9a-zA-Z-_]+$)", "12", False),
        (r"((?!^\d+$)^[0-9a-zA-Z-_]+$)", "1a", True),
    ],
)
def test_matches_as_java_does(pattern: str, text: str, matches: bool) -> None:
    assert bool(compile_java(pattern).fullmatch(text)) is matches


@pytest.mark.parametrize("pattern", [r"\p{L}", r"[\p{Lu}]", r"[\p{L}_]", r"[\p{L}\p{N}]", r"[\p{L}\p{N}_]\d"])
def test_other_categories_are_refused_loudly(pattern: str) -> None:
    with pytest.raises(NotImplementedError, match="categor"):
        compile_java(pattern)
