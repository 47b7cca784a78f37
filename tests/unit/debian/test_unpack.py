import pytest

from lamella.debian.unpack import is_useless, link_target, merged


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("./bin/ls", "usr/bin/ls"),
        ("./lib/x86_64-linux-gnu/libz.so.1", "usr/lib/x86_64-linux-gnu/libz.so.1"),
        ("./lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-x86-64.so.2"),
        ("./usr/bin/git", "usr/bin/git"),
        ("./etc/fonts/fonts.conf", "etc/fonts/fonts.conf"),
        ("./", ""),
        ("../../etc/passwd", ""),
        ("./usr/../../etc/passwd", ""),
        ("/usr/bin/x", "usr/bin/x"),
    ],
)
def test_paths_are_those_of_a_merged_system_and_never_lead_out(name: str, path: str) -> None:
    assert merged(name) == path


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("git", "git"),
        ("/etc/alternatives/x", "../../etc/alternatives/x"),
        ("/bin/sh", "sh"),
        ("../lib/x", "../lib/x"),
        ("../../../../../etc/passwd", "../.."),
    ],
)
def test_links_stay_within_the_tree(target: str, expected: str) -> None:
    assert link_target("usr/bin/name", target) == expected


def test_what_is_of_no_use_in_a_layer() -> None:
    assert is_useless("usr/share/doc/git/README")
    assert is_useless("usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libx.so.1")
    assert is_useless("usr/lib/git-core/git-imap-send", ["usr/lib/git-core/git-imap-*"])
    assert not is_useless("usr/lib/git-core/git-imap-send")
    assert not is_useless("usr/share/git-core/templates/description")
