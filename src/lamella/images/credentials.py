"""Credentials for registries, from the files that `docker login`, `podman login` and `skopeo login` write.

Source: containers-auth.json(5), for where they are and how entries are found; Docker's protocol of credential helpers.
"""

import base64
import binascii
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lamella.images.allowed import Place
from lamella.images.reference import DENIED, INTERNAL
from lamella.ports.images import ImageError

_MOST_BYTES: Final = 4 * 1024 * 1024
_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HELPER_TIMEOUT_S: Final = 30.0
_HUB_KEYS: Final = ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Credential:
    """Who asks. Either a name and a password, or a token that a registry's own token server takes.

    Attributes:
        identity_token: Empty if there is a name.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """For the `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def default_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where the tools keep them, in their order."""
    home = Path(environ.get("HOME") or "/root")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    docker = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    runtime = environ.get("XDG_RUNTIME_DIR")
    first = (Path(runtime) / "containers/auth.json",) if runtime else ()
    return (*first, config / "containers/auth.json", docker / "config.json")


class AuthFiles:
    """Reads the files anew each time: tokens are renewed, and are short-lived with some registries.

    Args:
        files: The first that has an entry decides.
        must_exist: Whether a file that is not there is an error, as one that an operator has named.
    """

    def __init__(self, files: Sequence[Path], *, must_exist: bool = False) -> None:
        self._files = files
        self._must_exist = must_exist

    def find(self, place: Place) -> Credential | None:
        """What to say who asks; `None` for nobody in particular.

        Raises:
            ImageError: A file cannot be read, or a helper fails.
        """
        for path in self._files:
            found = _find(self._read(path), place)
            if found is not None:
                return found
        return None

    def _read(self, path: Path) -> Mapping[str, Any]:  # Any: JSON
        try:
            with path.open("rb") as file:
                document = json.loads(file.read(_MOST_BYTES))
        except FileNotFoundError:
            if self._must_exist:
                raise ImageError(f"The file {path} of the setting image_auth_file is not there.", INTERNAL) from None
            return {}
        except (OSError, ValueError) as error:
            # Without the error's own text, which may quote the file.
            reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
            raise ImageError(f"The credentials in {path} cannot be read: {reason}.", INTERNAL) from None
        return document if isinstance(document, dict) else {}


def _find(document: Mapping[str, Any], place: Place) -> Credential | None:
    """What one file has for a place: its namespaces from the longest on, then its host, then what helpers know."""
    hosts = _HUB_KEYS if place.hub else (place.host,)
    parts = place.repository.split("/")
    keys = [f"{host}/{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1) for host in hosts]
    helpers = document.get("credHelpers")
    for host in hosts:
        helper = helpers.get(host) if isinstance(helpers, dict) else None
        if isinstance(helper, str):
            return _ask_helper(helper, host)
    entries = document.get("auths")
    by_key = {_key(name): entry for name, entry in entries.items()} if isinstance(entries, dict) else {}
    for key in (*keys, *hosts):
        found = _credential(by_key.get(key))
        if found is not None:
            return found
    store = document.get("credsStore")
    if isinstance(store, str) and store:
        return _ask_helper(store, "https://index.docker.io/v1/" if place.hub else place.host)
    return None


def _key(name: str) -> str:
    """As Docker once wrote keys, they are URLs of an interface's version."""
    return re.sub(r"/v[12]/?$", "", name.partition("://")[2] or name).rstrip("/")


def _credential(entry: object) -> Credential | None:
    if not isinstance(entry, dict):
        return None
    token, packed = entry.get("identitytoken"), entry.get("auth")
    if isinstance(token, str) and token:
        return Credential(identity_token=token)
    if isinstance(packed, str) and packed:
        try:
            name, colon, password = base64.b64decode(packed, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, ValueError):
            return None
        return Credential(name, password) if colon else None
    user, secret = entry.get("username"), entry.get("password")
    return Credential(user, secret) if isinstance(user, str) and isinstance(secret, str) and user else None


def _ask_helper(helper: str, host: str) -> Credential | None:
    """Ask a program such as `docker-credential-ecr-login`; `None` if it knows nobody.

    Raises:
        ImageError: It is not there, or fails otherwise.
    """
    name = f"docker-credential-{helper}"
    program = shutil.which(name) if _HELPER.fullmatch(helper) else None
    if program is None:
        raise ImageError(f"The credentials of {host} are with the program {name[:80]}, which is not installed.", DENIED)
    try:
        done = subprocess.run(
            [program, "get"], input=host.encode(), capture_output=True, timeout=_HELPER_TIMEOUT_S, check=False
        )
        if done.returncode != 0 and b"not found" in done.stdout:
            return None
        document = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, subprocess.TimeoutExpired, ValueError):
        document = {}
    user, secret = (document.get("Username"), document.get("Secret")) if isinstance(document, dict) else (None, None)
    if not isinstance(user, str) or not isinstance(secret, str):
        raise ImageError(f"The program {name} has not told the credentials of {host}; run '{name} get' to see.", DENIED)
    return Credential(identity_token=secret) if user == "<token>" else Credential(user, secret)
