r"""Java's regular expressions, which the model uses, as Python's.

Where they differ: Java's `\d`, `\w` and `\s` are ASCII; its `.` stops at five line terminators and not only at the line
feed; it knows Unicode categories (`\p{L}`).
"""

import re
from functools import cache

_TOKEN = re.compile(r"\\p\{(\w+)\}|\\.|\[\^?|\]|\.|[^\\\[\].]+", re.DOTALL)
_SEPARATORS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""The members of category Z."""
_OTHERS = (
    r"\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u180e\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u2064\u2066-\u206f\ud800-\uf8ff\ufeff\ufff9-\ufffb\U000110bd\U000110cd"
    r"\U00013430-\U00013438\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
    r"\U000f0000-\U000ffffd\U00100000-\U0010fffd"
)
"""The members of category C, but for code points that are not assigned: which those are changes with Unicode."""


@cache
def compile_java(pattern: str) -> re.Pattern[str]:
    r"""Compile a Java pattern; meant for `fullmatch`.

    Raises:
        NotImplementedError: The pattern uses a Unicode category that no pattern of the model used so far, or `\p{L}`
            and `\p{N}` not together with the underscore.
    """
    out = []
    in_class = False
    categories = set()
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        category = token.group(1)
        if category is not None:
            if category not in {"C", "L", "N", "Z"} or not in_class:
                raise NotImplementedError(f"category {category} in {pattern}")
            if category != "C":
                categories.add(category)
            # Python's \w is letters, numbers and the underscore.
            out.append({"C": _OTHERS, "L": r"\w", "N": "", "Z": _SEPARATORS}[category])
        elif text.startswith("[") and not in_class:
            in_class = True
            out.append(text)
        elif text == "]" and in_class:
            in_class = False
            out.append(text)
        elif text == "." and not in_class:
            out.append(r"[^\n\r\u0085\u2028\u2029]")
        else:
            # Java reads "[" inside a class as a nested class; no pattern of the model has one.
            out.append(text)
    if not categories:
        return re.compile("".join(out), re.ASCII)
    if not {"L", "N"} <= categories or "_" not in pattern or "\\d" in pattern or "\\w" in pattern:
        raise NotImplementedError(f"categories in {pattern}")
    return re.compile("".join(out))
