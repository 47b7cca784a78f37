"""The recipes of `examples/layers`: built for both architectures, checked, proved and used in real sandboxes.

Everything as a user does it: `lamella layer build` and `check`, AWS's client to publish, a function that imports it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.functions import PRELUDE, archive, create
from tests.support.languages import add_runtime, host_java, put_npm_on_path
from tests.support.layers import tree
from tests.support.server import ROOT, LamellaServer

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

_DIRECT_MOST: Final = 50 * 1024**2
ACCOUNT: Final = "000000000000"


@dataclass(frozen=True)
class Use:
    """How a function uses a layer, and what it answers then."""

    runtime: str
    files: dict[str, str | bytes]
    answer: Any
    handler: str = "index.handler"
    options: dict[str, Any] = field(default_factory=dict)


def python(code: str, answer: Any, **options: Any) -> Use:
    indented = "".join(f"    {line}\n" for line in code.splitlines())
    return Use("python3.11", {"index.py": f"def handler(event, context):\n{indented}"}, answer, options=options)


USES: Final = {
    "imaging": python(
        "import numpy, PIL.Image\n"
        "picture = PIL.Image.new('RGB', (6, 4), 'red').resize((3, 2))\n"
        "return numpy.asarray(picture)[..., 0].tolist()",
        [[255] * 3] * 2,
    ),
    "data-science": python(
        "import io, pandas, pyarrow.parquet\n"
        "table, file = pyarrow.Table.from_pandas(pandas.DataFrame({'a': [1, 2, 3]})), io.BytesIO()\n"
        "pyarrow.parquet.write_table(table, file)\n"
        "return int(pyarrow.parquet.read_table(io.BytesIO(file.getvalue())).to_pandas().a.sum())",
        6,
    ),
    "postgres-client": python(
        "import psycopg\nreturn [psycopg.pq.__impl__, psycopg.pq.version() >= 100000]", ["binary", True]
    ),
    "cryptography": python(
        "from cryptography.fernet import Fernet\n"
        "box = Fernet(Fernet.generate_key())\n"
        "return box.decrypt(box.encrypt(b'secret')).decode()",
        "secret",
    ),
    "sharp": Use(
        "nodejs22.x",
        {
            "index.mjs": "import { createRequire } from 'node:module';\n"
            "const sharp = createRequire(import.meta.url)('sharp');\n"
            "export const handler = async () => {\n"
            "  const red = { create: { width: 8, height: 6, channels: 3, background: 'red' } };\n"
            "  const { width, height, format } = await sharp(await sharp(red).png().toBuffer()).metadata();\n"
            "  return [width, height, format];\n"
            "};\n"
        },
        [8, 6, "png"],
    ),
    "git": Use(
        "provided.al2023",
        {
            "bootstrap": PRELUDE + "export HOME=/tmp\n"
            "try() { git init -q /tmp/$1 && cd /tmp/$1 &&"
            " git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one &&"
            " git clone -q file:///tmp/$1 /tmp/$1-clone && git -C /tmp/$1-clone log --format=%s; }\n"
            'while next; do respond "$( (try "$ID") 2>&1 | json)"; done\n'
        },
        "one",
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LamellaServer]:
    # Its gate is off: everything is proved below, and once is enough.
    with LamellaServer(state_delay_s="0", layer_gate="off") as running:
        running.boto3("s3").create_bucket(Bucket="layers")
        yield running


@pytest.fixture(scope="module")
def built(server: LamellaServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Builds a recipe, once: its zip for each architecture, and what the command says."""

    put_npm_on_path(tmp_path_factory.mktemp("npm"))

    @cache
    def build(name: str) -> dict[str, Path]:
        directory = tmp_path_factory.mktemp("recipes") / name
        shutil.copytree(ROOT / "examples" / "layers" / name, directory)
        # With the user's own environment: his caches and certificates, and what he tells uv, npm, Maven and apt.
        own = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "LAMELLA_", "PATH"))}
        server.lamella("layer", "build", cwd=directory, **own)
        return {zipped.stem.rpartition("-")[2]: zipped for zipped in directory.glob("*.zip")}

    return build


def check(server: LamellaServer, zipped: Path, *options: str, status: int = 0) -> dict[str, Any]:
    result = server.lamella("layer", "check", zipped, "--json", *options, check=False)
    assert result.returncode == status, result.stdout + result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def publish(server: LamellaServer, name: str, zipped: Path, runtime: str) -> str:
    content: dict[str, Any] = {"ZipFile": zipped.read_bytes()}
    if zipped.stat().st_size > _DIRECT_MOST:
        server.boto3("s3").upload_file(str(zipped), "layers", zipped.name)
        content = {"S3Bucket": "layers", "S3Key": zipped.name}
    return str(
        server.boto3().publish_layer_version(LayerName=name, Content=content, CompatibleRuntimes=[runtime])[
            "LayerVersionArn"
        ]
    )


@pytest.mark.parametrize("name", USES)
def test_what_a_recipe_makes_is_sound_and_works(server: LamellaServer, built: Any, name: str, tmp_path: Path) -> None:
    use = USES[name]
    if use.runtime.startswith("nodejs"):
        add_runtime(server, use.runtime, tmp_path)
    zipped = built(name)["x86_64"]
    document = check(server, zipped, "--prove", "--runtime", use.runtime, "--architecture", "x86_64")
    [proof] = document["proved"]
    assert (proof["runtime"], proof["failed"]) == (use.runtime, 0)
    assert proof["imports"] > 0
    layers = [publish(server, name, zipped, use.runtime)]
    options = {"MemorySize": 1769, "Timeout": 60, **use.options}
    function = create(
        server.boto3(), archive(use.files), runtime=use.runtime, handler=use.handler, Layers=layers, **options
    )
    answer = function.invoke()
    assert (answer.error, answer.document) == (None, use.answer), answer.tail


@pytest.mark.parametrize("name", USES)
def test_the_other_architecture_is_built_too_and_told_apart(server: LamellaServer, built: Any, name: str) -> None:
    zipped, runtime = built(name)["arm64"], USES[name].runtime
    check(server, zipped, "--no-prove", "--runtime", runtime, "--architecture", "arm64")
    wrong = check(server, zipped, "--no-prove", "--runtime", runtime, "--architecture", "x86_64", status=1)
    assert {"wrong-architecture", "wrong-prebuild"} & {finding["code"] for finding in wrong["findings"]}


def test_a_layer_over_the_direct_upload_goes_through_s3(server: LamellaServer, built: Any) -> None:
    """As the command that `layer build` prints says."""
    assert built("data-science")["x86_64"].stat().st_size > _DIRECT_MOST


def test_a_driver_is_found_on_the_class_path(server: LamellaServer, built: Any, tmp_path: Path) -> None:
    java = host_java()
    add_runtime(server, java, tmp_path)
    [zipped] = built("postgres-jdbc").values()
    [proof] = check(server, zipped, "--prove", "--runtime", java)["proved"]
    assert (proof["runtime"], proof["failed"]) == (java, 0)
    assert proof["imports"] > 0
    (tmp_path / "Drivers.java").write_text(
        "public class Drivers {\n"
        "    public String find(Object event) throws Exception {\n"
        '        return java.sql.DriverManager.getDriver("jdbc:postgresql:orders").getClass().getName();\n'
        "    }\n}\n"
    )
    subprocess.run(["javac", "--release", "11", "-d", tmp_path / "code", tmp_path / "Drivers.java"], check=True)
    layers = [publish(server, "postgres-jdbc", zipped, java)]
    options = {"runtime": java, "handler": "Drivers::find", "MemorySize": 1769, "Timeout": 30}
    function = create(server.boto3(), tree(tmp_path / "code"), Layers=layers, **options)
    assert function.invoke().document == "org.postgresql.Driver"
