"""As much of ELF files as can be told from their first few thousand bytes."""

import os
import struct
from typing import Final

from lamella.domain.function import Architecture

LOADERS: Final = {Architecture.X86_64: "/lib64/ld-linux-x86-64.so.2", Architecture.ARM64: "/lib/ld-linux-aarch64.so.1"}
"""The GNU C library's dynamic loader. Source: the psABI of each architecture."""

_PT_INTERP: Final = 3


def is_elf(head: bytes) -> bool:
    """Whether a file that begins like this is an ELF file."""
    return head.startswith(b"\x7fELF")


def interpreter_of(head: bytes) -> str:
    """The dynamic loader that a 64-bit little-endian ELF file names; empty if none can be made out.

    Args:
        head: The beginning of the file, 4 KiB or more, where every linker puts it.
    """
    if len(head) < 64 or head[4] != 2 or head[5] != 1:
        return ""
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    for at in range(table, min(table + size * count, len(head) - 55), max(size, 56)):
        if struct.unpack_from("<I", head, at)[0] == _PT_INTERP:
            offset, length = struct.unpack_from("<Q", head, at + 8)[0], struct.unpack_from("<Q", head, at + 32)[0]
            name = os.fsdecode(head[offset : offset + length].rstrip(b"\0"))
            return name if name.isprintable() and name.startswith("/") and len(name) < 256 else ""
    return ""
