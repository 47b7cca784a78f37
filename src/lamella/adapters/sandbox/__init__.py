"""Sandboxes by an OCI runtime: crun or runc."""

from lamella.adapters.sandbox.mounts import enter_private_mount_namespace
from lamella.adapters.sandbox.oci import OciSandboxProvider, OciSettings

__all__ = ["OciSandboxProvider", "OciSettings", "enter_private_mount_namespace"]
