"""Secrets by the patterns that their makers give them: what everybody who may read the layer can read.

Only patterns with a fixed beginning and a fixed length, which prose and tests of libraries seldom have by chance; and
of those, none that is plainly an example. Sources: AWS's user guide "IAM identifiers", "AWS keys" (AKIA, ASIA); GitHub,
"authenticating with tokens" (ghp_, gho_, ghu_, ghs_, ghr_, github_pat_); Slack, "token types"; Stripe, "API keys"; npm,
"access tokens"; PyPI, "api tokens"; Google Cloud, "API keys"; RFC 7468 (private keys).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret; what it is, and never what it says.

    Attributes:
        kind: What it is, for the reader.
        line: Where it stands, counted from 1.
        sample: Whether where it lies, or what it says, makes it look like an example or a test's.
    """

    kind: str
    line: int
    sample: bool = False


@dataclass(frozen=True, slots=True)
class _Pattern:
    kind: str
    # One of these must be there: looking for words is many times faster than for a pattern.
    words: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


_PATTERNS: Final = (
    _Pattern(
        "an access key of AWS",
        (b"AKIA", b"ASIA"),
        re.compile(rb"(?<![A-Za-z0-9+/])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9+/=])"),
    ),
    _Pattern(
        "a secret key of AWS",
        (b"aws_secret_access_key", b"AWS_SECRET_ACCESS_KEY"),
        re.compile(rb"(?i:aws_secret_access_key)['\"]?\s{0,8}[=:]\s{0,8}['\"]?([A-Za-z0-9+/]{40})(?![A-Za-z0-9+/=])"),
    ),
    _Pattern(
        "a private key",
        (b"PRIVATE KEY-----",),
        re.compile(
            rb"-----BEGIN (?:RSA |EC |DSA |OPENSSH |ENCRYPTED )?PRIVATE KEY-----(?:\\n|\s){1,4}[A-Za-z0-9+/=:, -]{32}"
        ),
    ),
    _Pattern(
        "a token of GitHub",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        re.compile(rb"(?<![A-Za-z0-9_])(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82})(?![A-Za-z0-9_])"),
    ),
    _Pattern(
        "a token of Slack",
        (b"xoxb-", b"xoxp-", b"xoxa-", b"xoxr-", b"xapp-"),
        re.compile(
            rb"(?<![A-Za-z0-9-])(?:xox[bpar]-[0-9]{10,13}-[0-9A-Za-z-]{20,}|xapp-[0-9]-[A-Z0-9]{9,}-[0-9A-Za-z-]{20,})"
        ),
    ),
    _Pattern(
        "a live key of Stripe",
        (b"sk_live_", b"rk_live_"),
        re.compile(rb"(?<![A-Za-z0-9_])[sr]k_live_[A-Za-z0-9]{24,}"),
    ),
    _Pattern("a token of npm", (b"npm_",), re.compile(rb"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9_])")),
    _Pattern("a token of PyPI", (b"pypi-AgEIcHlwaS5vcmc",), re.compile(rb"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}")),
    _Pattern(
        "a key of Google's",
        (b"AIza",),
        re.compile(rb"(?<![A-Za-z0-9_-])AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    ),
    _Pattern(
        "a password of a package registry",
        (b"_authToken", b"_password", b"_auth"),
        re.compile(rb"(?m)^[^#;\n]{0,200}:?_(?:authToken|password|auth)\s{0,4}=\s{0,4}(?!\$\{)[A-Za-z0-9+/=_.-]{8,}"),
    ),
)
_EXAMPLE: Final = re.compile(rb"EXAMPLE|example|XXXX|xxxx|0000000000|1234567890|abcdefgh|ABCDEFGH|placeholder|AAAAAAAA")
_TEST_DIRECTORIES: Final = re.compile(
    r"(?:^|/)(?:tests?|testing|testdata|test_data|__tests__|fixtures?|examples?|docs?)/"
)
_DOCUMENTS: Final = (".md", ".rst", ".html", ".d.ts", "METADATA", "README", "CHANGELOG")
_REGISTRY: Final = "a password of a package registry"


def find_secrets(name: str, text: bytes) -> Iterator[Secret]:
    """The secrets in a file, at most one of each kind."""
    for pattern in _PATTERNS:
        if pattern.kind == _REGISTRY and not name.endswith(".npmrc"):
            continue
        if not any(word in text for word in pattern.words):
            continue
        matches = list(pattern.pattern.finditer(text))
        if not matches:
            continue
        real = [match for match in matches if not _EXAMPLE.search(match[0])]
        match = (real or matches)[0]
        sample = not real or bool(_TEST_DIRECTORIES.search(name)) or name.endswith(_DOCUMENTS)
        yield Secret(pattern.kind, text.count(b"\n", 0, match.start()) + 1, sample)
