"""Where programs of the host are looked for: what the server's own environment says does not count."""

import shutil
from pathlib import Path
from typing import Final

PROGRAM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find(name: str) -> Path | None:
    """The program of this name, or with this path; `None` if it is not installed."""
    found = shutil.which(name, path=PROGRAM_PATH)
    return None if found is None else Path(found)
