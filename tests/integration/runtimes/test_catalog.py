"""The catalogue's bookkeeping, with packs that are only as large as that needs."""

import os
import sys
from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.ports.runtimes import RuntimeNotInstalledError
from lamella.runtimes import PackBuildError, PackCatalog, PackDamagedError, host_architecture, verify
from lamella.runtimes.foreign import Emulation, Emulations
from lamella.runtimes.interpreters import probe
from lamella.runtimes.pack import Manifest, Origin
from lamella.runtimes.recipes import recipe_digest
from lamella.runtimes.tree import tree_digest

HOST = host_architecture()
OTHER = Architecture.ARM64 if host_architecture() is Architecture.X86_64 else Architecture.X86_64
EVERYTHING = Emulations(lambda _: Emulation(True, "yes"))
NOTHING_ELSE = Emulations(lambda architecture: Emulation(architecture is HOST, "no", "do"))


def install(
    root: Path,
    name: str,
    content: str = "1",
    *,
    origin: Origin | None = None,
    architecture: Architecture = HOST,
) -> str:
    """Put a pack where the catalogue looks, as a build would; returns its digest."""
    staging = root / name / "staging"
    (staging / "rootfs").mkdir(parents=True)
    (staging / "rootfs/file").write_text(content)
    digest = tree_digest(staging / "rootfs")
    manifest = Manifest(
        name=name,
        architecture=architecture,
        digest=digest,
        version="v",
        entrypoints=("/var/task/bootstrap",),
        env={},
        execution_env=None,
        size_bytes=1,
        origin=origin or Origin("old"),
    )
    (staging / "pack.json").write_text(manifest.to_json())
    staging.rename(root / name / digest)
    current = root / name / ("current" if architecture is HOST else f"current-{architecture}")
    current.unlink(missing_ok=True)
    current.symlink_to(digest)
    return digest


def test_an_installed_runtime_is_found_by_name_and_architecture(tmp_path: Path) -> None:
    digest = install(tmp_path, "provided.al2023")
    pack = PackCatalog(tmp_path).find("provided.al2023", host_architecture())
    assert (pack.digest, pack.rootfs) == (digest, tmp_path / "provided.al2023" / digest / "rootfs")


def test_a_missing_python_says_what_there_is_and_how_to_add_it(tmp_path: Path) -> None:
    install(tmp_path, "provided.al2023")
    install(tmp_path, "python3.11")
    with pytest.raises(RuntimeNotInstalledError) as caught:
        PackCatalog(tmp_path).find("python3.12", host_architecture())
    assert str(caught.value) == (
        "Runtime python3.12 is not installed on this node. Installed: provided.al2023, python3.11. "
        "Add it with: lamella runtime add python3.12 [--from /path/to/python3.12]"
    )


def test_a_runtime_that_cannot_be_built_gets_no_such_advice(tmp_path: Path) -> None:
    with pytest.raises(RuntimeNotInstalledError, match=r"Runtime go1\.x is not installed .* Installed: none\.$"):
        PackCatalog(tmp_path).find("go1.x", host_architecture())


def test_another_architecture_is_not_this_one(tmp_path: Path) -> None:
    install(tmp_path, "provided.al2")
    with pytest.raises(
        RuntimeNotInstalledError, match=f"only.* lamella runtime add provided.al2 --architecture {OTHER}$"
    ):
        PackCatalog(tmp_path).find("provided.al2", OTHER)


def test_a_host_that_cannot_run_it_says_so_when_a_runtime_is_asked_for_and_when_it_is_added(tmp_path: Path) -> None:
    """Found, listed and taken away it is all the same."""
    install(tmp_path, "provided.al2", architecture=OTHER)
    packs = PackCatalog(tmp_path, emulations=NOTHING_ELSE)
    with pytest.raises(
        RuntimeNotInstalledError, match=f"provided.al2 for {OTHER} cannot run on this host: no. Remedy: do"
    ):
        packs.find("provided.al2", OTHER)
    with pytest.raises(PackBuildError, match="cannot run on this host"):
        packs.add("provided.al2023", architecture=OTHER)
    assert packs.manifest("provided.al2", OTHER).architecture is OTHER
    assert [pack.name for pack in packs.packs()] == ["provided.al2"]
    packs.remove("provided.al2", OTHER)
    assert packs.packs() == []


def test_one_name_stands_for_a_pack_of_each_architecture(tmp_path: Path) -> None:
    digests = {
        architecture: install(tmp_path, "provided.al2", architecture, architecture=architecture)
        for architecture in Architecture
    }
    packs = PackCatalog(tmp_path, emulations=EVERYTHING)
    for architecture, digest in digests.items():
        assert packs.find("provided.al2", architecture).digest == digest
        assert packs.find("provided.al2", architecture, digest).rootfs == tmp_path / "provided.al2" / digest / "rootfs"
        assert packs.manifest("provided.al2", architecture).architecture is architecture
    with pytest.raises(RuntimeNotInstalledError, match="Version"):
        packs.find("provided.al2", HOST, digests[OTHER])
    assert [pack.architecture for pack in packs.packs()] == [HOST, OTHER]
    assert packs.prune(()) == []


def test_a_pack_of_another_architecture_is_superseded_alone(tmp_path: Path) -> None:
    native = install(tmp_path, "provided.al2", "native")
    old, new = (install(tmp_path, "provided.al2", content, architecture=OTHER) for content in "12")
    packs = PackCatalog(tmp_path, emulations=EVERYTHING)
    assert [pack.digest for pack in packs.packs()] == [native, new]
    assert packs.find("provided.al2", OTHER, old).digest == old
    assert packs.prune(()) == [old]


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("java17", None, f"cannot build java17 for {OTHER}: .* It can build for {OTHER} provided.al2,"),
        ("python3.11", "/usr/bin/python3", "made of Debian's packages; leave out --from"),
    ],
)
def test_what_cannot_be_built_for_another_architecture(
    tmp_path: Path, name: str, source: str | None, words: str
) -> None:
    packs = PackCatalog(tmp_path, emulations=EVERYTHING)
    with pytest.raises(PackBuildError, match=words):
        packs.add(name, None if source is None else Path(source), architecture=OTHER)


def test_packs_are_listed_by_name(tmp_path: Path) -> None:
    for name in ("python3.9", "provided.al2", "provided.al2023"):
        install(tmp_path, name)
    assert [pack.name for pack in PackCatalog(tmp_path).packs()] == ["provided.al2", "provided.al2023", "python3.9"]


def test_a_pack_with_a_broken_manifest_counts_as_missing(tmp_path: Path) -> None:
    digest = install(tmp_path, "provided.al2")
    (tmp_path / "provided.al2" / digest / "pack.json").write_text("{")
    assert PackCatalog(tmp_path).packs() == []


def test_verify_sees_tampering(tmp_path: Path) -> None:
    install(tmp_path, "provided.al2")
    pack = PackCatalog(tmp_path).find("provided.al2", host_architecture())
    verify(pack)
    (pack.rootfs / "file").write_text("2")
    with pytest.raises(PackDamagedError, match=r"lamella runtime add provided\.al2"):
        verify(pack)


def test_a_superseded_pack_is_found_by_its_digest(tmp_path: Path) -> None:
    old, new = (install(tmp_path, "provided.al2", content) for content in "12")
    packs = PackCatalog(tmp_path)
    assert packs.find("provided.al2", host_architecture()).digest == new
    assert packs.find("provided.al2", host_architecture(), new).digest == new
    found = packs.find("provided.al2", host_architecture(), old)
    assert (found.digest, found.rootfs) == (old, tmp_path / "provided.al2" / old / "rootfs")
    assert [pack.digest for pack in packs.packs()] == [new]
    with pytest.raises(RuntimeNotInstalledError):
        packs.find("provided.al2", OTHER, old)
    with pytest.raises(RuntimeNotInstalledError, match=f"^Version {'0' * 64} of runtime provided.al2 is not installed"):
        packs.find("provided.al2", host_architecture(), "0" * 64)
    (tmp_path / "provided.al2" / old / "pack.json").write_text("{")
    with pytest.raises(RuntimeNotInstalledError):
        PackCatalog(tmp_path).find("provided.al2", host_architecture(), old)
    packs.prune(())
    with pytest.raises(RuntimeNotInstalledError):
        packs.find("provided.al2", host_architecture(), old)


def test_superseded_packs_go_unless_they_are_in_use(tmp_path: Path) -> None:
    oldest, old, new = (install(tmp_path, "provided.al2", content) for content in "123")
    packs = PackCatalog(tmp_path)
    assert packs.prune({old}) == [oldest]
    assert {path.name for path in (tmp_path / "provided.al2").iterdir()} == {old, new, "current"}
    assert packs.prune(()) == [old]


@pytest.fixture
def current(tmp_path: Path) -> Path:
    """A catalogue whose default packs are all current."""
    watched = tmp_path / "libsource.so"
    watched.write_text("1")
    status = watched.stat()
    for name in {"provided.al2023", "provided.al2", "python3.11", f"python3.{sys.version_info.minor}"}:
        origin = Origin(recipe_digest(name), sources={str(watched): (status.st_size, status.st_mtime_ns)})
        install(tmp_path / "runtimes", name, origin=origin)
    return tmp_path


def test_nothing_is_built_when_nothing_has_changed(current: Path) -> None:
    said: list[str] = []
    assert PackCatalog(current / "runtimes").ensure_defaults(progress=said.append) == []
    assert said == []


def test_what_a_dead_build_left_is_taken_away(current: Path) -> None:
    (current / "runtimes/.building-x/rootfs").mkdir(parents=True)
    PackCatalog(current / "runtimes").ensure_defaults()
    assert not (current / "runtimes/.building-x").exists()


def test_an_updated_host_library_builds_a_new_pack_and_keeps_the_old(current: Path) -> None:
    for name in {"python3.11", f"python3.{sys.version_info.minor}"}:  # only the cheap packs shall be rebuilt
        manifest = PackCatalog(current / "runtimes").manifest(name)
        install(current / "runtimes", name, "no sources", origin=Origin(manifest.origin.recipe))
    packs = PackCatalog(current / "runtimes")
    before = packs.find("provided.al2023", host_architecture())
    os.utime(current / "libsource.so", (1, 1))
    built = packs.ensure_defaults()
    assert sorted(pack.name for pack in built) == ["provided.al2", "provided.al2023"]
    after = packs.find("provided.al2023", host_architecture())
    assert after.digest != before.digest
    assert before.rootfs.exists()
    assert packs.ensure_defaults() == []
    assert PackCatalog(current / "runtimes").find("provided.al2023", host_architecture()) == after


def test_building_again_mends_a_damaged_pack(tmp_path: Path) -> None:
    pack = PackCatalog(tmp_path).add("provided.al2")
    (pack.rootfs / "etc/passwd").write_text("root::0:0::/:/bin/sh\n")
    (pack.rootfs / "extra").write_text("")
    assert PackCatalog(tmp_path).add("provided.al2") == pack
    verify(pack)
    assert sorted(path.name for path in pack.rootfs.parent.iterdir()) == ["pack.json", "rootfs"]


def test_a_default_that_cannot_be_built_does_not_keep_the_others_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_OFFLINE", "UV_NO_CACHE"):  # no index, nothing cached: AWS's runtime client cannot be had
        monkeypatch.setenv(name, "1")
    said: list[str] = []
    built = PackCatalog(tmp_path).ensure_defaults(progress=said.append)
    assert [pack.name for pack in built] == ["provided.al2023", "provided.al2"]
    assert any(
        line.startswith(f"Runtime python3.{sys.version_info.minor} is not installed: Cannot fetch") for line in said
    )


def fake_python(path: Path, version: str, *, implementation: str = "cpython", libc: str = "glibc") -> Path:
    path.write_text(
        "#!/bin/sh\n"
        f'echo \'{{"implementation": "{implementation}", "version": [{version}], "libc": "{libc}", "machine": "x86_64",'
        ' "executable": "/bin/true", "prefix": "/usr", "stdlib": "/nowhere", "dynload": "/nowhere",'
        ' "platlibdir": "lib", "ca_file": ""}\'\n'
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("version", "traits", "words"),
    [
        ("3, 7, 1", {}, "oldest"),
        ("3, 11, 1", {"implementation": "pypy"}, "are CPython"),
        ("3, 11, 1", {"libc": ""}, "does not use glibc"),
        ("3, 11, 1", {}, "no standard library at /nowhere"),
    ],
)
def test_unsuitable_interpreters_are_refused_with_the_reason(
    tmp_path: Path, version: str, traits: dict[str, str], words: str
) -> None:
    source = fake_python(tmp_path / "python3.11", version, **traits)
    with pytest.raises(PackBuildError, match=words):
        PackCatalog(tmp_path / "runtimes").add("python3.11", source)


def test_another_version_is_never_taken_instead(tmp_path: Path) -> None:
    name = f"python3.{sys.version_info.minor + 1}"
    with pytest.raises(PackBuildError, match=f"is python3.{sys.version_info.minor}, not {name}"):
        PackCatalog(tmp_path).add(name, Path(sys.executable))
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackBuildError, match="does not run as a Python interpreter"):
        PackCatalog(tmp_path).add("python3.11", Path("/bin/false"))


def test_unknown_runtimes_are_refused_with_those_that_can_be_built(tmp_path: Path) -> None:
    with pytest.raises(
        PackBuildError, match=r"provided\.al2023, provided\.al2, python3\.X, nodejsNN\.x, javaNN, ruby3\.3\.$"
    ):
        PackCatalog(tmp_path).add("go1.x")


def test_a_version_that_no_host_has_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(PackBuildError, match=r"lamella runtime add python3\.99 --from"):
        PackCatalog(tmp_path).add("python3.99")


@pytest.mark.parametrize("weak", ["program", "directory"])
def test_a_program_that_others_can_change_is_not_run(tmp_path: Path, weak: str) -> None:
    """The server is root and serves every local user: naming an interpreter must not be a way to become root."""
    ran = tmp_path / "ran"
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "python3.11"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o777 if weak == "program" else 0o755)
    folder.chmod(0o777 if weak == "directory" else 0o755)
    link = tmp_path / "python3.11"
    link.symlink_to(program)
    for source in (program, link):
        with pytest.raises(PackBuildError, match="every user can change"):
            PackCatalog(tmp_path / "packs").add("python3.11", source)
    assert not ran.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_program_of_another_user_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "python3.11"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    os.chown(program, 12345, 12345)
    with pytest.raises(PackBuildError, match="belongs to user 12345"):
        PackCatalog(tmp_path / "packs").add("python3.11", program)
    assert not ran.exists()


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PackBuildError, match=r"There is no .*python3\.11 on the server"):
        PackCatalog(tmp_path / "packs").add("python3.11", tmp_path / "python3.11")


def test_an_interpreter_that_was_moved_has_its_modules_beside_it(tmp_path: Path) -> None:
    """Its build says where they were when it was installed."""
    dynload = tmp_path / "lib-dynload"
    dynload.mkdir()
    (tmp_path / "os.py").write_text("")
    program = fake_python(tmp_path / "python3.11", "3, 11, 1")
    program.write_text(program.read_text().replace('"stdlib": "/nowhere"', f'"stdlib": "{tmp_path}"'))
    assert probe(program).dynload == dynload
    dynload.rmdir()
    assert probe(program).dynload == Path("/nowhere")
