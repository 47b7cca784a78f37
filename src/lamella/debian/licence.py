"""What a Debian package says of its licence."""

import re
from typing import Final

_LICENCE: Final = re.compile(r"^License:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


def licence_of(copyright_text: str) -> str:
    """The licence of most of a package: that of its first paragraph about files, in Debian's short names.

    Empty if the file is not in the machine-readable form. Source: Debian, "Machine-readable debian/copyright file"
    (copyright-format 1.0).
    """
    if "copyright-format" not in copyright_text.partition("\n\n")[0]:
        return ""
    match = _LICENCE.search(copyright_text)
    return match.group(1) if match is not None else ""
