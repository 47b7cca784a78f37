import struct
from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.runtimes import foreign
from lamella.runtimes.foreign import Emulation, Emulations, takes, trial_program

ENTRY = """enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


@pytest.mark.parametrize(("architecture", "taken"), [(Architecture.ARM64, True), (Architecture.X86_64, False)])
def test_an_entry_is_for_programs_that_begin_as_it_says(architecture: Architecture, *, taken: bool) -> None:
    assert takes(ENTRY, trial_program(architecture)) is taken


@pytest.mark.parametrize(
    ("entry", "head"),
    [
        (ENTRY.replace("enabled", "disabled"), trial_program(Architecture.ARM64)),
        ("enabled\ninterpreter /usr/bin/python3.11\nflags: \nextension .pyc\n", trial_program(Architecture.ARM64)),
        (ENTRY, b"\x7fELF"),
        ("", b""),
    ],
)
def test_entries_for_other_files(entry: str, head: bytes) -> None:
    assert takes(entry, head) is False


def test_magic_may_stand_later_in_the_file_and_have_no_mask() -> None:
    entry = "enabled\ninterpreter /x\nflags: F\noffset 2\nmagic 4142\n"
    assert takes(entry, b"xxABC") is True
    assert takes(entry, b"ABxxx") is False


@pytest.mark.parametrize("architecture", Architecture)
def test_the_trial_is_a_program_whose_one_segment_holds_all_of_it(architecture: Architecture) -> None:
    program = trial_program(architecture)
    entry, table = struct.unpack_from("<QQ", program, 24)
    kind, flags, offset, address, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", program, table)
    assert (kind, flags, offset, in_file, in_memory) == (1, 5, 0, len(program), len(program))
    assert address < entry < address + in_file


@pytest.mark.parametrize(
    ("qemu", "entries", "detail", "remedy"),
    [
        (False, {}, "there is no", "apt-get install qemu-user-static"),
        (True, {}, "the kernel was not told that", "register"),
        (True, {"qemu-x": ENTRY.replace("POF", "PO")}, "by qemu-x, which is not found from inside", "echo -1 > "),
    ],
)
def test_what_is_wrong_with_a_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, qemu: bool, entries: dict[str, str], detail: str, remedy: str
) -> None:
    (tmp_path / "binfmt").mkdir()
    for name, text in {**entries, "register": "", "status": "enabled\n"}.items():
        (tmp_path / "binfmt" / name).write_text(text)
    (tmp_path / "qemu").write_text("")
    monkeypatch.setattr(foreign, "host_architecture", lambda: Architecture.X86_64)
    monkeypatch.setattr(foreign, "runs", lambda _: False)
    monkeypatch.setattr(foreign, "BINFMT", tmp_path / "binfmt")
    monkeypatch.setattr(foreign, "_QEMU", str(tmp_path / "qemu") if qemu else "/nowhere/qemu-{machine}-static")
    found = foreign.emulation(Architecture.ARM64)
    assert found.ok is False
    assert detail in found.detail
    assert remedy in found.remedy or "systemd-binfmt" in found.remedy


def test_the_own_architecture_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "host_architecture", lambda: Architecture.ARM64)
    assert foreign.emulation(Architecture.ARM64).ok


class Host:
    """One where a program may be installed while it is asked for."""

    def __init__(self) -> None:
        self.able = False
        self.trials = 0
        self.now_s = 100.0

    def attempt(self, architecture: Architecture) -> Emulation:
        assert architecture is Architecture.ARM64
        self.trials += 1
        return Emulation(self.able, "found", "" if self.able else "install it")


def test_what_does_not_run_is_tried_again_but_not_at_each_question() -> None:
    host = Host()
    emulations = Emulations(host.attempt, lambda: host.now_s)
    for seconds in (0.0, 0.1, 4.8):
        host.now_s += seconds
        assert emulations.of(Architecture.ARM64).complaint == "found. Remedy: install it"
    assert host.trials == 1
    host.able = True
    host.now_s += 0.2
    assert emulations.of(Architecture.ARM64).complaint == "found"
    host.now_s += 1000
    assert emulations.of(Architecture.ARM64).ok
    assert host.trials == 2
