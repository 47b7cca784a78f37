"""Make layers for tests."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.functions import archive


def tree(directory: Path) -> dict[str, bytes]:
    """The files below a directory, as `archive` takes them."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def publish(client: Any, files: Mapping[str, str | bytes] | bytes, *, name: str | None = None) -> str:
    """Publish a layer version, of files or of a ready archive; returns its ARN.

    Args:
        client: Of boto3, which has no types.
        files: All of them become executable.
        name: Of the layer; a fresh one if `None`.
    """
    content = files if isinstance(files, bytes) else archive(files)
    answer = client.publish_layer_version(
        LayerName=name or f"layer-{uuid.uuid4().hex[:12]}", Content={"ZipFile": content}
    )
    return str(answer["LayerVersionArn"])
