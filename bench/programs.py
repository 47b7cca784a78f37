"""The C programs of the benchmarks, built when their source has changed."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
CACHE: Final = HERE.parent / ".cache" / "bench"


class MissingToolError(Exception):
    """Something that is not part of the project is needed; the text says how to get it."""


def build(source: str) -> Path:
    """Compile one file, given relative to this directory, into a static program.

    Raises:
        MissingToolError: There is no C compiler, or it cannot link statically.
    """
    path = HERE / source
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise MissingToolError("no C compiler: apt-get install gcc libc6-dev")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    program = CACHE / "programs" / f"{path.stem}-{digest}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        made = program.with_suffix(".new")
        command = [compiler, "-O2", "-static", "-o", str(made), str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise MissingToolError(f"{' '.join(command)} failed; is libc6-dev installed?\n{result.stderr}")
        made.replace(program)
    return program
