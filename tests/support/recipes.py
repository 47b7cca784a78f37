"""Small projects that layers are built of."""

import textwrap
from pathlib import Path

# A build backend that needs nothing to be fetched; it packs what is beside it into a wheel with the given tag.
_BACKEND = """
import io, os, tarfile, zipfile
TAG = "{tag}"
INFO = "mine-1.0.dist-info"
METADATA = "Metadata-Version: 2.1\\nName: mine\\nVersion: 1.0\\n{requires}"

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    os.mkdir(os.path.join(directory, INFO))
    with open(os.path.join(directory, INFO, "METADATA"), "w") as file:
        file.write(METADATA)
    return INFO

def build_sdist(directory, config_settings=None):
    with tarfile.open(os.path.join(directory, "mine-1.0.tar.gz"), "w:gz") as archive:
        for name in ("pyproject.toml", "backend.py", "mine.py"):
            archive.add(name, "mine-1.0/" + name)
        info = tarfile.TarInfo("mine-1.0/PKG-INFO")
        info.size = len(METADATA)
        archive.addfile(info, io.BytesIO(METADATA.encode()))
    return "mine-1.0.tar.gz"

def build_wheel(directory, config_settings=None, metadata_directory=None):
    {first}
    name = "mine-1.0-" + TAG + ".whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        for file in sorted(os.listdir(".")):
            if file.endswith(".py") and file != "backend.py":
                wheel.write(file)
        if os.path.isdir("build"):
            wheel.write("build/old.py", "old.py")
        wheel.writestr(INFO + "/METADATA", METADATA)
        wheel.writestr(INFO + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: " + TAG + "\\n")
        wheel.writestr(INFO + "/RECORD", "mine.py,,\\n")
    return name
"""


def write_package(directory: Path, *, tag: str = "py3-none-any", requires: str = "", first: str = "pass") -> Path:
    """A local package `mine`.

    Args:
        directory: Made by it.
        tag: Of the wheel that it builds.
        requires: A line of its metadata such as `Requires-Dist: six`.
        first: A statement that building the wheel begins with.
    """
    directory.mkdir(parents=True)
    backend = _BACKEND.replace("{tag}", tag).replace("{requires}", f"{requires}\\n" if requires else "")
    (directory / "backend.py").write_text(backend.replace("{first}", first))
    (directory / "mine.py").write_text("ANSWER = 42\n")
    (directory / "pyproject.toml").write_text(
        textwrap.dedent("""
        [build-system]
        requires = []
        build-backend = "backend"
        backend-path = ["."]
        [project]
        name = "mine"
        version = "1.0"
        """)
    )
    return directory
