from lamella.debian.releases import mirrors


def test_debian_comes_from_where_this_machine_gets_it() -> None:
    targets = (
        "Docker|Docker CE|https://docker.test/|\n"
        "Debian|Debian|http://mirror.test/debian/\n"
        "Debian|Debian-Security|http://mirror.test/security/\n"
        "Debian|Debian Backports|http://elsewhere.test/debian/\n"
    )
    assert mirrors(targets) == ("http://mirror.test/debian", "http://mirror.test/security")


def test_on_another_system_from_debian_itself() -> None:
    found = mirrors("Ubuntu|Ubuntu|http://archive.test/ubuntu/\n\nnonsense\n")
    assert found == ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")
