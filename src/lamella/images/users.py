"""The user that functions run as gets a name in an image, as on AWS: programs look for it, and for a home directory.

Source: what functions of images on AWS print as their user (bruceadams/run-command-on-aws-lambda, 2022), and where npm
looks for its home there (aws/aws-lambda-base-images issue 63, 2022).
"""

import errno
import os
import stat
from typing import Final

from lamella.images.within import open_within
from lamella.ports.sandbox import FUNCTION_GID, FUNCTION_UID, FUNCTION_USER

_PATH: Final = b"etc/passwd"
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK
_MOST_BYTES: Final = 1 << 20
_LINE: Final = f"{FUNCTION_USER}:x:{FUNCTION_UID}:{FUNCTION_GID}::/home/{FUNCTION_USER}:/sbin/nologin\n".encode()


def add_user(root: int) -> None:
    """Add it to the image's users, unless there is one of that number, or something odd in the place of the file.

    Args:
        root: Descriptor of the image's layers, merged and writable, with a directory `/etc`.

    Raises:
        OSError: The disk is full, or fails.
    """
    try:
        descriptor = open_within(root, _PATH, _FLAGS, 0o644)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EIO}:
            raise
        return
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        users = file.read(_MOST_BYTES) or b""
        numbers = {line.split(b":")[2] for line in users.splitlines() if line.count(b":") >= 2}
        if len(users) == _MOST_BYTES or str(FUNCTION_UID).encode() in numbers:
            return
        file.write(b"\n" + _LINE if users and not users.endswith(b"\n") else _LINE)
