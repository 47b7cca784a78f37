from lamella.debian.apt import _SHARED, explain

DUMP = """APT::Architecture "amd64";
Acquire::http::Proxy "http://proxy:3128";
Acquire::https::CaInfo "/etc/ca.pem";
Acquire::IndexTargets::deb::DEP-11::Description "x";
Acquire::AllowInsecureRepositories "1";
APT::Update::Post-Invoke-Success:: "/usr/bin/something";
"""


def test_a_private_apt_shares_how_to_reach_the_network_and_nothing_else() -> None:
    assert _SHARED.findall(DUMP) == [
        'Acquire::http::Proxy "http://proxy:3128";',
        'Acquire::https::CaInfo "/etc/ca.pem";',
    ]


def test_complaints_come_with_advice() -> None:
    unknown = explain("Reading...\nE: Unable to locate package gti\n", "arm64", offline=False)
    assert "check its name" in unknown
    assert unknown.endswith("\nE: Unable to locate package gti")
    assert "sources drop versions" in explain("E: Version '1' for 'git' was not found", "amd64", offline=False)
    assert "cannot be reached" in explain("E: Unable to locate package git", "amd64", offline=True)
    assert "cannot be reached" in explain("E: Failed to fetch x  Could not connect to y", "amd64", offline=False)
    assert "go together" in explain(" a : Depends: b but it is not installable\nE: held", "amd64", offline=False)


def test_of_many_complaints_some_are_shown() -> None:
    text = explain("".join(f"E: Unable to locate package p{number}\n" for number in range(9)), "arm64", offline=True)
    assert text.endswith("E: Unable to locate package p4\n(and 4 more)")
