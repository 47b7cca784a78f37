"""Extensions for tests: small Python programs in a layer, beside a function in Python."""

import sys
from collections.abc import Mapping
from typing import Any, Final

from tests.support.functions import Function, create
from tests.support.layers import publish

PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"

SHEBANG: Final = f"#!/var/lang/bin/{PYTHON}\n"
API: Final = '''
import http.client, json, os, signal, sys, threading, time

HOST = os.environ["AWS_LAMBDA_RUNTIME_API"]

def call(method, path, body=None, headers=None, connection=None):
    """Status, headers in lower case, and body of one call."""
    one = connection or http.client.HTTPConnection(HOST)
    one.request(method, path, body, headers or {})
    answer = one.getresponse()
    data = answer.read()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data

def register(name, events, features="", body=None):
    headers = {"Lambda-Extension-Name": name, "Lambda-Extension-Accept-Feature": features}
    body = json.dumps({"events": events}) if body is None else body
    return call("POST", "/2020-01-01/extension/register", body, headers)

def next_event(identifier):
    return call("GET", "/2020-01-01/extension/event/next", None, {"Lambda-Extension-Identifier": identifier})

def fail(kind, identifier, error_type="Mine.Bad"):
    headers = {"Lambda-Extension-Identifier": identifier, "Lambda-Extension-Function-Error-Type": error_type}
    return call("POST", f"/2020-01-01/extension/{kind}/error", b"{}", headers)

def subscribe(identifier, body, path="/2022-07-01/telemetry"):
    return call("PUT", path, json.dumps(body), {"Lambda-Extension-Identifier": identifier})

def say(*words):
    """Print a line at once."""
    sys.stdout.write(" ".join(str(word) for word in words) + "\\n")
    sys.stdout.flush()
'''
"""Names that extensions and functions of tests use: the Extensions API by hand."""

EXTENSION: Final = (
    SHEBANG
    + API
    + '''
NAME = os.path.basename(__file__)

def started(events=("INVOKE", "SHUTDOWN")):
    """Register; returns the identifier."""
    return register(NAME, list(events))[1]["lambda-extension-identifier"]
'''
)
"""Start of an external extension."""

WELL: Final = (
    EXTENSION
    + """
identifier = started()
while True:
    status, headers, body = next_event(identifier)
    say(NAME, "got", body.decode())
    if json.loads(body)["eventType"] == "SHUTDOWN":
        sys.exit(0)
"""
)
"""An extension that does what is expected of it, and says so."""

ECHO: Final = "def handler(event, context):\n    return event\n"


def extended(
    client: Any,  # boto3's clients have no type
    extensions: Mapping[str, str],
    code: str = ECHO,
    *,
    files: Mapping[str, str | bytes] | None = None,
    **options: Any,
) -> Function:
    """A function in Python with a layer that holds these extensions by name, and other files."""
    layer = publish(client, {**{f"extensions/{name}": text for name, text in extensions.items()}, **(files or {})})
    settings = {"runtime": PYTHON, "MemorySize": 1769, "Layers": [layer], **options}
    return create(client, {"function.py": API + code}, **settings)
