r"""Java's regular expressions, which the model uses, as Python's.

Where they differ: Java's `\d`, `\w` and `\s` are ASCII; its `.` stops at five line terminators and not only at the line
feed; it knows Unicode categories (`\p{L}`).
"""

import re
from functools import cache

_TOKEN = re.compile(r"\\p\{(\w+)\}|\\.|\[\^?|\]|\.|[^\\\[\].]+", re.DOTALL)
_SEPARATORS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""The members of category Z."""


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
            if category not in {"L", "N", "Z"} or not in_class:
                raise NotImplementedError(f"category {category} in {pattern}")
            categories.add(category)
            # Python's \w is letters, numbers and the underscore.
            out.append({"L": r"\w", "N": "", "Z": _SEPARATORS}[category])
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
