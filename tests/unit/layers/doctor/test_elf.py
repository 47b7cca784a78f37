import contextlib
import struct
from pathlib import Path

import pytest
from tests.unit.layers.doctor.elves import elf, executable

from lamella.layers.doctor.elf import ElfDamagedError, ElfKind, read_elf


def test_what_a_library_says_is_read() -> None:
    facts = read_elf(
        elf(
            "arm64",
            needed=["libc.so.6", "libz.so.1"],
            wants=[("libc.so.6", "GLIBC_2.34"), ("libz.so.1", "ZLIB_1.2")],
            has=["MINE_1"],
            soname="libmine.so.1",
            runpath="$ORIGIN/../lib:/opt/other",
        )
    )
    assert facts.machine == "arm64"
    assert facts.kind is ElfKind.LIBRARY
    assert facts.needed == ("libc.so.6", "libz.so.1")
    assert facts.wants == (("libc.so.6", "GLIBC_2.34"), ("libz.so.1", "ZLIB_1.2"))
    assert facts.has == {"MINE_1"}
    assert facts.soname == "libmine.so.1"
    assert facts.runpath == ("$ORIGIN/../lib", "/opt/other")


def test_a_runpath_makes_the_loader_pass_over_the_rpath() -> None:
    facts = read_elf(elf(rpath="/a", runpath="/b"))
    assert (facts.rpath, facts.runpath) == ((), ("/b",))


def test_a_program_names_its_loader_and_a_static_one_does_not() -> None:
    assert read_elf(executable()).interpreter == "/lib64/ld-linux-x86-64.so.2"
    static = read_elf(elf(program=True))
    assert static.kind is ElfKind.PROGRAM
    assert static.static


def test_a_real_program_is_read() -> None:
    facts = read_elf(Path("/proc/self/exe").read_bytes())
    assert "libc.so.6" in facts.needed


def test_a_module_for_node_says_its_version() -> None:
    assert read_elf(elf(symbols=["node_register_module_v115"])).node_abi == 115
    assert read_elf(elf(symbols=["napi_register_module_v1"])).node_api


@pytest.mark.parametrize("length", [4, 20, 63, 64, 100, 180])
def test_one_that_is_cut_off_is_damaged(length: int) -> None:
    with pytest.raises(ElfDamagedError):
        read_elf(elf(needed=["libc.so.6"])[:length])


def test_every_single_byte_may_lie_and_nothing_hangs() -> None:
    sound = elf(needed=["libc.so.6"], wants=[("libc.so.6", "GLIBC_2.34")], has=["A", "B"], interpreter="/lib64/x")
    for position in range(len(sound)):
        for value in (0, 1, 0x7F, 0xFF):
            broken = bytearray(sound)
            broken[position] = value
            try:
                read_elf(bytes(broken))
            except ElfDamagedError:
                continue


def test_a_table_of_versions_that_never_ends_is_damaged() -> None:
    sound = elf(wants=[("libc.so.6", "GLIBC_2.34")])
    entry = struct.pack("<HHI", 1, 1, 1)
    at = sound.index(entry)
    endless = sound[:at] + struct.pack("<HHIII", 1, 0xFFFF, 1, 16, 0) + struct.pack("<IHHII", 0, 0, 2, 1, 1)
    endless += sound[at + 32 :]
    facts = None
    with contextlib.suppress(ElfDamagedError):
        facts = read_elf(endless)
    assert facts is None or len(facts.wants) < 100
