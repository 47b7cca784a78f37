"""Shell scripts that start a program of a tree that is not where it was built for, and tell it where its data are."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class _Variable:
    """Environment variable that names data.

    Attributes:
        patterns: Of paths below the tree; all that there are make the value, separated by colons.
        program: Path below the tree without which the variable is of no use; empty if it always is.
    """

    name: str
    patterns: tuple[str, ...]
    program: str = ""


# Each from the manual of the program: git(1), ImageMagick's "Resources", fonts-conf(5), gs(1), tesseract(1), magic(4),
# terminfo(5), perlrun(1), Tcl's library(n).
_VARIABLES: Final = (
    _Variable("GIT_EXEC_PATH", ("usr/lib/git-core",)),
    _Variable("GIT_TEMPLATE_DIR", ("usr/share/git-core/templates",)),
    _Variable(
        "MAGICK_CONFIGURE_PATH",
        ("etc/ImageMagick-*", "usr/share/ImageMagick-*", "usr/lib/*/ImageMagick-*/config-*"),
    ),
    _Variable("MAGICK_CODER_MODULE_PATH", ("usr/lib/*/ImageMagick-*/modules-*/coders",)),
    _Variable("MAGICK_CODER_FILTER_PATH", ("usr/lib/*/ImageMagick-*/modules-*/filters",)),
    _Variable("FONTCONFIG_PATH", ("etc/fonts",)),
    _Variable("GS_LIB", ("usr/share/ghostscript/*/Resource/Init", "usr/share/ghostscript/*/lib")),
    _Variable("TESSDATA_PREFIX", ("usr/share/tesseract-ocr/*/tessdata",)),
    _Variable("MAGIC", ("usr/lib/file/magic.mgc",)),
    _Variable("TERMINFO", ("usr/lib/terminfo",)),
    _Variable(
        "PERL5LIB",
        ("usr/share/perl5", "usr/lib/*/perl/5.*", "usr/share/perl/5.*", "usr/lib/*/perl-base"),
        program="usr/bin/perl",
    ),
)

# Programs of Debian look for certificates where Debian has them; Amazon Linux has them where Red Hat's systems do.
_CERTIFICATES: Final = """\
if [ ! -e /etc/ssl/certs/ca-certificates.crt ] && [ -e /etc/pki/tls/certs/ca-bundle.crt ]; then
    export GIT_SSL_CAINFO="${GIT_SSL_CAINFO-/etc/pki/tls/certs/ca-bundle.crt}"
fi
"""


def variables_of(tree: Path, at: str) -> dict[str, str]:
    """Environment variables for what is in a tree, and their values where the tree will be.

    Args:
        tree: Where it is now.
        at: Where it will be.
    """
    found: dict[str, str] = {}
    for variable in _VARIABLES:
        paths = [path for pattern in variable.patterns for path in sorted(tree.glob(pattern))]
        if paths and (tree / variable.program).exists():
            found[variable.name] = ":".join(f"{at}/{path.relative_to(tree).as_posix()}" for path in paths)
    return found


def wrapper(program: str, variables: Mapping[str, str]) -> str:
    """A script that sets variables, but for those that are set, and becomes the program.

    Args:
        program: Its path in the sandbox.
        variables: Names and values.
    """
    lines = [f'export {name}="${{{name}-{value}}}"\n' for name, value in variables.items()]
    certificates = _CERTIFICATES if "GIT_EXEC_PATH" in variables else ""
    return f'#!/bin/sh\n{"".join(lines)}{certificates}exec {shlex.quote(program)} "$@"\n'
