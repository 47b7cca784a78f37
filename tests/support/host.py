"""What this host can do."""

import os
import shutil


def missing_for_sandboxes() -> str:
    """Why this host cannot run sandboxes; empty if it can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [name for name in ("crun", "catatonit") if shutil.which(name) is None]
    return f"needs {' and '.join(absent)}" if absent else ""
