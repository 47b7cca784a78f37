from lamella.debian.licence import licence_of

COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: jq

Files: *
Copyright: 2012 Stephen Dolan
License: MIT

Files: debian/*
License: GPL-2+
"""


def test_the_licence_of_most_files_counts() -> None:
    assert licence_of(COPYRIGHT) == "MIT"


def test_prose_states_no_licence() -> None:
    assert licence_of("This is free software.\n\nLicense: see below\n") == ""
