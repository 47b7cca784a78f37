from lamella.layers.build.wrapper import wrapper


def test_a_wrapper_respects_what_is_set_and_becomes_the_program() -> None:
    assert wrapper("/opt/debian/usr/bin/convert", {"MAGIC": "/opt/debian/magic"}) == (
        '#!/bin/sh\nexport MAGIC="${MAGIC-/opt/debian/magic}"\nexec /opt/debian/usr/bin/convert "$@"\n'
    )


def test_names_of_programs_are_quoted() -> None:
    assert wrapper("/opt/debian/usr/bin/[", {}).endswith("exec '/opt/debian/usr/bin/[' \"$@\"\n")


def test_git_is_told_where_amazon_linux_has_its_certificates() -> None:
    assert "GIT_SSL_CAINFO" in wrapper("/opt/debian/usr/bin/git", {"GIT_EXEC_PATH": "/opt/debian/usr/lib/git-core"})
