"""Layers that were built of Node packages and of jars, used by functions in the sandbox."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import archive, create
from tests.support.languages import NODES, host_java
from tests.support.layers import publish, tree

from lamella.domain.function import Architecture
from lamella.layers.build.java import JavaSource
from lamella.layers.build.node import NodeSource
from lamella.layers.build.sources import Target
from lamella.runtimes.pack import host_architecture

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

PICTURE = """
const sharp = require('sharp');
exports.handler = async (event) => {
  const red = sharp({ create: { width: 40, height: 30, channels: 3, background: 'red' } });
  const { info } = await red.resize(event.width).webp().toBuffer({ resolveWithObject: true });
  return [info.format, info.width, info.height];
};
"""
DRIVER = """
public class Drivers {
    public String find(Object event) throws Exception {
        return java.sql.DriverManager.getDriver("jdbc:postgresql:orders").getClass().getName();
    }
}
"""


def silent(message: str) -> None:
    del message


def test_sharp_resizes_pictures(client: Any, installed: Callable[[str], str], tmp_path: Path) -> None:
    runtime = NODES[0]
    target = Target((runtime,), Architecture(host_architecture()))
    NodeSource(packages=("sharp@0.34.4",)).collect(target, tmp_path, silent)
    layer = publish(client, archive(tree(tmp_path), mode=0o644))
    options = {"runtime": installed(runtime), "handler": "index.handler", "MemorySize": 1024}
    function = create(client, {"index.js": PICTURE}, Layers=[layer], **options)
    assert function.invoke({"width": 20}).document == ["webp", 20, 15]


def test_a_jdbc_driver_is_found_on_the_class_path(client: Any, installed: Callable[[str], str], tmp_path: Path) -> None:
    runtime = host_java()
    target = Target((runtime,), Architecture(host_architecture()))
    JavaSource(coordinates=("org.postgresql:postgresql:42.7.4",)).collect(target, tmp_path / "opt", silent)
    layer = publish(client, archive(tree(tmp_path / "opt"), mode=0o644))
    (tmp_path / "Drivers.java").write_text(DRIVER)
    subprocess.run(["javac", "-d", tmp_path / "code", tmp_path / "Drivers.java"], check=True)
    options = {"runtime": installed(runtime), "handler": "Drivers::find", "MemorySize": 1024, "Timeout": 20}
    function = create(client, tree(tmp_path / "code"), Layers=[layer], **options)
    assert function.invoke().document == "org.postgresql.Driver"
