import pytest

from lamella.layers.doctor.secrets import find_secrets

GITHUB = "ghp_" + "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb7d"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.py", "key = 'AKIA" + "QWERTZUIOPASDFGH'", "an access key of AWS"),
        ("a.ini", "aws_secret_access_key = " + "wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzzzzzKEYQ", "a secret key of AWS"),
        ("a.pem", "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA" * 3, "a private key"),
        ("a.js", f"const token = '{GITHUB}'", "a token of GitHub"),
        ("a.js", "xoxb-" + "284756102938-284756102939-AbCdEfGhIjKlMnOpQrStUvWx", "a token of Slack"),
        (".npmrc", "//registry.corp.net/:_authToken=" + "abc12345def67890", "a password of a package registry"),
    ],
)
def test_secrets_are_found_and_not_repeated(name: str, text: str, kind: str) -> None:
    (secret,) = find_secrets(name, f"first\n{text}\n".encode())
    assert (secret.kind, secret.line, secret.sample) == (kind, 2, False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "AKIAIOSFODNN7" + "EXAMPLE"),
        ("tests/a.py", "AKIA" + "QWERTZUIOPASDFGH"),
        ("README.md", GITHUB),
    ],
)
def test_examples_are_told_apart(name: str, text: str) -> None:
    (secret,) = find_secrets(name, text.encode())
    assert secret.sample


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----",  # code that reads keys says this
        "header = b'-----BEGIN RSA PRIVATE KEY-----'\nfooter = b'-----END RSA PRIVATE KEY-----'",
        "BASE64WITHAKIAQWERTZUIOPASDFGHINTHEMIDDLE==",
        "ghp_short",
        "aws_secret_access_key = config['key']",
        "-----BEGIN CERTIFICATE-----\n" + "MIIEpAIBAAKCAQEA" * 3,
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert list(find_secrets("a.py", text.encode())) == []


def test_a_token_from_the_environment_is_no_secret() -> None:
    assert list(find_secrets(".npmrc", b"//registry.corp.net/:_authToken=${NPM_TOKEN}\n")) == []
