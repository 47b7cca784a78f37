from pathlib import Path

import pytest

from lamella.layers.build.maven import Artifact, Coordinates, explain, parse_list, pom_of
from lamella.layers.errors import LayerBuildError

M2 = "/m2/org/postgresql/postgresql/42.7.4/postgresql-42.7.4.jar"
LISTED = f"""
The following files have been resolved:
   org.postgresql:postgresql:jar:42.7.4:compile:{M2} -- module org.postgresql.jdbc
   io.netty:netty-epoll:jar:linux-x86_64:4.1.100:runtime:/m2/netty-epoll-4.1.100.jar
   org.example:platform:pom:1:compile:/m2/org/example/platform/1/platform-1.pom
"""


def test_jars_are_read_from_what_maven_lists() -> None:
    postgresql, netty = parse_list(LISTED)
    assert postgresql == Artifact("org.postgresql", "postgresql", "42.7.4", "", Path(M2))
    assert (netty.classifier, netty.version, netty.unversioned) == (
        "linux-x86_64",
        "4.1.100",
        "io.netty:netty-epoll:linux-x86_64",
    )


@pytest.mark.parametrize("text", ["a:b", "a:b:1:c:d", "a:b:[1,2)", "a:b:1</version>", "", "a::1"])
def test_what_are_no_exact_coordinates(text: str) -> None:
    with pytest.raises(LayerBuildError, match="no coordinates"):
        Coordinates.parse(text)


def test_a_project_names_exclusions_and_repositories() -> None:
    text = pom_of([Coordinates.parse("a:b:1:c")], ["https://example.org/m2?a&b"], ["x:*"])
    assert "<artifactId>b</artifactId><version>1</version><classifier>c</classifier>" in text
    assert "<exclusion><groupId>x</groupId><artifactId>*</artifactId></exclusion>" in text
    assert "<url>https://example.org/m2?a&amp;b</url>" in text


@pytest.mark.parametrize(
    ("repository", "exclude"), [("http://example.org", "a:b"), ("https://x", "a"), ("https://x", "a:<")]
)
def test_faulty_addresses_and_exclusions_are_refused(repository: str, exclude: str) -> None:
    with pytest.raises(LayerBuildError):
        pom_of([], [repository], [exclude])


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("[ERROR] Could not find artifact a:b:jar:1 in central", "check group, artifact and version"),
        ("[ERROR] Could not transfer artifact a:b from central: Connection refused", "cannot be reached"),
        ("[ERROR] Checksum validation failed, expected 1", "changed on the way"),
        ("[ERROR] Non-parseable POM pom.xml", "pom.xml is faulty"),
        ("something", "Maven could not resolve"),
    ],
)
def test_complaints_come_with_advice(message: str, advice: str) -> None:
    text = explain(f"[INFO] Scanning\n{message}\n[ERROR] -> [Help 1]\n[ERROR] To see the full stack trace, use -e\n")
    assert advice in text.partition("\n")[0]
    assert message.removeprefix("[ERROR] ") in text
    assert "full stack trace" not in text or message == "something"
