"""Merging directories into one: overlayfs, for the roots that container images are."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from lamella.adapters.sandbox import syscalls

_FLAGS: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV
_PATH: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class KernelOverlays:
    """Implements `lamella.ports.images.Overlays`. Mounts belong to the caller's mount namespace."""

    def mount(self, lower: Sequence[Path], target: Path) -> None:
        """Show directories merged and read-only.

        Args:
            lower: The uppermost first; at least two.
            target: An empty directory.

        Raises:
            OSError: The kernel refuses.
        """
        self._mount(lower, target, _FLAGS | syscalls.MS_RDONLY, ())

    def mount_writable(self, lower: Sequence[Path], target: Path, upper: Path, work: Path) -> None:
        """Show directories merged, where what is changed goes to `upper`; `work` is an empty one beside it."""
        self._mount(lower, target, _FLAGS, (("upperdir", upper), ("workdir", work)))

    def unmount(self, target: Path) -> None:
        """Take it away; who still has a file open keeps that."""
        syscalls.umount(str(target), syscalls.MNT_DETACH)

    def _mount(self, lower: Sequence[Path], target: Path, flags: int, more: Sequence[tuple[str, Path]]) -> None:
        # By descriptor: the options of a mount are a page at most, and an image may have more than a hundred layers.
        with ExitStack() as stack:

            def short(path: Path) -> str:
                descriptor = os.open(path, _PATH)
                stack.callback(os.close, descriptor)
                return f"/proc/self/fd/{descriptor}"

            options = [f"lowerdir={':'.join(short(path) for path in lower)}"]
            options += [f"{name}={short(path)}" for name, path in more]
            syscalls.mount("overlay", str(target), "overlay", flags, ",".join(options))
