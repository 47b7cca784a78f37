"""Debian packages of any release and architecture, by apt, beside what is installed: fetched and unpacked."""

from lamella.debian.errors import DebianError

__all__ = ["DebianError"]
