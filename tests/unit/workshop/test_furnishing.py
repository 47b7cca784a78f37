"""What a runtime brings along, of a root that anybody may have made."""

from pathlib import Path

from lamella.domain.function import Architecture
from lamella.ports.runtimes import RuntimePack
from lamella.workshop.furnishing import furnishing_of


def test_nothing_of_the_host_is_read_through_links_of_the_root(tmp_path: Path) -> None:
    secret = tmp_path / "host/secret-1.0.dist-info"
    secret.mkdir(parents=True)
    (secret / "METADATA").write_text("Name: secret\nVersion: 1.0\n")
    (tmp_path / "host/libsecret.so").touch()
    root = tmp_path / "root"
    (root / "usr/lib64").mkdir(parents=True)
    (root / "usr/lib64/libown.so").touch()
    (root / "usr/lib64/libc.so.6").symlink_to("/dev/zero")  # would be read for ever
    (root / "var").mkdir()
    for name in ("runtime", "lang"):
        (root / "var" / name).symlink_to(tmp_path / "host")
    pack = RuntimePack("provided.al2023", Architecture.X86_64, root, "0" * 64, "1", ())

    found = furnishing_of(pack)

    assert (found["packages"], found["libraries"], found["glibc"]) == ([], ["libc.so.6", "libown.so"], "")
