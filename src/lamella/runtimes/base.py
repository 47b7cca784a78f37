"""The part of a root tree that every runtime has: shell, programs, C library, certificates, time zones, `/etc`."""

import shutil
import ssl
import struct
import subprocess
from importlib import resources
from pathlib import Path
from typing import Final

from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.tree import RootTree

RESOURCES: Final = resources.files("lamella.runtimes") / "resources" / "base"

# As `id` prints them on AWS (observed 2026).
SANDBOX_USER: Final = "sbx_user1051"
SANDBOX_UID: Final = 993
SANDBOX_GID: Final = 990

_REQUIRED: Final = ("bash", "cat", "cp", "curl", "cut", "date", "env", "grep", "ls", "mkdir", "rm", "sed", "tr")
_MOUNT_POINTS: Final = ("/var/task", "/opt", "/tmp", "/proc", "/sys", "/dev", "/run", f"/home/{SANDBOX_USER}")  # noqa: S108
_CERTIFICATES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Amazon Linux, Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine and others
)

_ETC: Final = {
    "passwd": (
        "root:x:0:0:root:/root:/bin/bash\n"
        "nobody:x:65534:65534:Nobody:/:/sbin/nologin\n"
        f"{SANDBOX_USER}:x:{SANDBOX_UID}:{SANDBOX_GID}::/home/{SANDBOX_USER}:/sbin/nologin\n"
    ),
    "group": f"root:x:0:\nnobody:x:65534:\n{SANDBOX_USER}:x:{SANDBOX_GID}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "hosts": "127.0.0.1 localhost\n",
    "resolv.conf": "",
    "hostname": "localhost\n",
}

_OS_RELEASE: Final = {
    "al2": (
        'NAME="Amazon Linux"\nVERSION="2"\nID="amzn"\nID_LIKE="centos rhel fedora"\nVERSION_ID="2"\n'
        'PRETTY_NAME="Amazon Linux 2 (Lamella)"\n'
    ),
    "al2023": (
        'NAME="Amazon Linux"\nVERSION="2023"\nID="amzn"\nID_LIKE="fedora"\nVERSION_ID="2023"\n'
        'PRETTY_NAME="Amazon Linux 2023 (Lamella)"\nPLATFORM_ID="platform:al2023"\n'
    ),
}


def bootstrap(text: str) -> str:
    """The entry point of a managed runtime: what sets the array `program`, then what runs it or its wrapper (EN-24)."""
    return text + RESOURCES.joinpath("launch.sh").read_text()


def _names(file: str) -> list[str]:
    """The words of a list that ships with this package."""
    lines = RESOURCES.joinpath(file).read_text().splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


def populate_base(tree: RootTree, *, os_name: str) -> list[str]:
    """Fill an empty tree with all that does not depend on a language.

    The programs and libraries are those of the tree's system, so a binary built against a newer C library than that
    does not run; `/etc/os-release` names the Amazon Linux that the runtime stands for, as scripts test for it.

    Args:
        tree: An empty one.
        os_name: `al2` or `al2023`.

    Returns:
        Remarks on what the system does not have.

    Raises:
        PackBuildError: A program or file that every runtime needs is missing there.
    """
    for name in ("bin", "sbin", "lib", "lib64"):
        tree.mkdir(f"/usr/{name}")
        tree.symlink(f"/{name}", f"usr/{name}")
    # The loader looks here by default, without cache and LD_LIBRARY_PATH: Debian and its kin use such names.
    tree.symlink(f"/usr/lib/{tree.system.machine}-linux-gnu", "../lib64")
    for inside in (*_MOUNT_POINTS, "/var/lang/bin", "/var/runtime", "/usr/local/bin", "/root", "/var/tmp"):  # noqa: S108
        tree.mkdir(inside)
    for name, content in _ETC.items():
        tree.write(f"/etc/{name}", content)
    tree.write("/etc/os-release", _OS_RELEASE[os_name])
    missing = _add_programs(tree)
    _add_libraries(tree)
    _add_certificates(tree)
    _add_time_zones(tree)
    _add_locales(tree, english=os_name == "al2")  # Amazon Linux 2023's minimal image has none
    return [f"{tree.system.name} does not have: {', '.join(missing)}"] if missing else []


def _add_programs(tree: RootTree) -> list[str]:
    missing: list[str] = []
    for name in (*_REQUIRED, *_names("programs.txt")):
        source = tree.system.program(name)
        if source is None:
            missing.append(name)
        else:
            tree.copy_program(source, f"/usr/bin/{name}")
    absent = [name for name in _REQUIRED if name in missing]
    if absent:
        raise PackBuildError(
            f"A runtime needs these programs, which this host does not have: {', '.join(absent)}. "
            "On Debian and Ubuntu: apt-get install bash coreutils curl grep sed"
        )
    tree.symlink("/usr/bin/sh", "bash")  # as on Amazon Linux: scripts with #!/bin/sh may rely on it
    return missing


def _add_libraries(tree: RootTree) -> None:
    for name in _names("libraries.txt"):
        path = tree.finder.find_by_name(name)
        if path is not None:
            tree.copy(path, f"/usr/lib64/{name}")
            tree.add_libraries_of(path)


def _add_certificates(tree: RootTree) -> None:
    default = ssl.get_default_verify_paths().cafile if tree.system.is_host else None
    candidates = [*_CERTIFICATES, *([default] if default else [])]
    source = next((path for path in map(tree.system.path, candidates) if path.is_file()), None)
    if source is None:
        raise PackBuildError(
            f"No CA certificates on this host (looked for {', '.join(candidates)}). "
            "On Debian and Ubuntu: apt-get install ca-certificates"
        )
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    tree.copy(source, bundle)
    # Amazon Linux's names, OpenSSL's default, and the directory that Debian's OpenSSL was built with.
    for name in (
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/pki/tls/cert.pem",
        "/etc/ssl/cert.pem",
        "/usr/lib/ssl/cert.pem",
    ):
        tree.symlink(name, bundle)


def _add_time_zones(tree: RootTree) -> None:
    inside = "/usr/share/zoneinfo"
    source = tree.system.path(inside)
    if (source / "UTC").exists():
        # `posix` and `right` hold every zone once more.
        shutil.copytree(
            source,
            tree.mkdir(inside),
            symlinks=True,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("posix", "right"),
        )
        for link in [path for path in tree.path(inside).rglob("*") if path.is_symlink()]:
            if link.readlink().is_absolute():  # `localtime` points into the host's /etc
                link.unlink()
    else:
        tree.write(f"{inside}/UTC", _utc_zone())
    tree.symlink("/etc/localtime", f"{inside}/UTC")


def _utc_zone() -> bytes:
    """A time zone file (RFC 8536, version 2) that says UTC, for hosts without tzdata."""
    block = struct.pack(">4s1s15x6l", b"TZif", b"2", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"
    return block + block + b"\nUTC0\n"


def _add_locales(tree: RootTree, *, english: bool) -> None:
    """Add C.UTF-8 and, if asked for and this host can make it, en_US.UTF-8, which is the same for all machines."""
    directory = tree.mkdir("/usr/lib/locale")
    source = tree.system.path("/usr/lib/locale/C.utf8")
    if source.is_dir():
        shutil.copytree(source, directory / source.name)
    localedef = shutil.which("localedef")
    if english and localedef is not None and Path("/usr/share/i18n/locales/en_US").exists():
        # Without the locale, programs fall back to C and CPython says so to its children with LC_CTYPE=C.UTF-8.
        subprocess.run(
            [localedef, "-c", "-i", "en_US", "-f", "UTF-8", "--no-archive", directory / "en_US.utf8"],
            capture_output=True,
            check=False,
        )
