"""What a layer should not tell those who may read it."""

import re
from collections.abc import Iterator
from typing import Final

from lamella.layers.doctor.subject import Subject, listed
from lamella.layers.findings import Finding

_PRIVATE: Final = (
    (re.compile(r"(?:^|/)\.git(?:/|$)"), "the history of a repository, with all that was ever in it"),
    (re.compile(r"(?:^|/)\.env(?:\.(?!example|sample|template|dist)[A-Za-z]+)?$"), "settings, often with passwords"),
    (re.compile(r"(?:^|/)\.aws/(?:credentials|config)$"), "credentials of AWS"),
    (re.compile(r"(?:^|/)\.(?:pypirc|netrc|pgpass|dockercfg|git-credentials)$"), "passwords"),
    (re.compile(r"(?:^|/)\.docker/config\.json$"), "passwords of registries"),
    (re.compile(r"(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519)$"), "a private key of SSH"),
    (re.compile(r"(?:^|/)[^/]*\.tfstate(?:\.backup)?$"), "the state of Terraform, with secrets in clear text"),
)
_TESTS: Final = re.compile(r"(?:^|/)(?:tests?|fixtures?|testdata|examples?)/")


def secrets(subject: Subject) -> Iterator[Finding]:
    """Secrets in the text of files."""
    for layer in subject.layers:
        for name, facts in layer.survey.files.items():
            for secret in facts.secrets:
                if secret.sample:
                    yield layer.finding(
                        "secret-sample",
                        name,
                        f"Line {secret.line} has the form of {secret.kind}, and is probably an example.",
                        "Leave tests and documents out: lamella layer build --slim ...",
                    )
                else:
                    yield layer.finding(
                        "secret",
                        name,
                        f"Line {secret.line} holds {secret.kind}. Whoever may get the layer can read it.",
                        "Take it out and make it worthless (rotate it); keep secrets in Secrets Manager or the "
                        "environment",
                    )


def private_files(subject: Subject) -> Iterator[Finding]:
    """Files that hold secrets or history by their kind."""
    for layer in subject.layers:
        for pattern, what in _PRIVATE:
            names = [
                entry.name
                for entry in layer.contents.files()
                if pattern.search(entry.name) and not _TESTS.search(entry.name)
            ]
            if names:
                yield layer.finding(
                    "private-file",
                    names[0],
                    f"{listed(names)}: {what}.",
                    "zip -r ../layer.zip . -x '.git/*' '.env*', and rotate what was in it if it was published",
                )
