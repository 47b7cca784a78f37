"""Finding files of a tree as a process would whose root it is: no link in it leads to the host's files."""

from pathlib import Path, PurePosixPath
from typing import Final

_MAX_LINKS: Final = 40  # as the kernel's own limit


def find_in(root: Path, path: str) -> Path | None:
    """Where a path inside a tree is on the host.

    Args:
        root: The tree, which anybody may have made, and nobody changes meanwhile.
        path: Absolute, as seen from inside.

    Returns:
        A path without links below `root`; `None` if there is no such file.
    """
    todo = list(reversed(PurePosixPath(path).parts[1:]))
    here, links = root, 0
    while todo:
        part = todo.pop()
        if part == "..":
            here = here if here == root else here.parent
            continue
        found = here / part
        try:
            found.lstat()
            target = PurePosixPath(found.readlink()) if found.is_symlink() else None
        except (OSError, ValueError):  # the latter for names that no file can have
            return None
        if target is None:
            here = found
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        here = root if target.is_absolute() else here
        todo += reversed([part for part in target.parts if not part.startswith("/")])
    return here
