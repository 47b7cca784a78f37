"""What moto does not do, said so that clients understand it and do not try again.

moto answers with a page about an internal error and status 500, which AWS's clients take for a passing trouble.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from flask import Flask, Response, request

_SCOPE: Final = re.compile(r"Credential=[^/]+/[0-9]+/[^/]*/([^/,]+)/")
_CODE: Final = "NotImplementedException"


def tell_what_is_missing(app: Flask) -> Flask:
    """Have the app of a service say which of its operations there are not."""
    app.register_error_handler(NotImplementedError, lambda error: missing(request.environ, str(error)))
    return app


def absent_service() -> Flask:
    """Stands for a service that moto does not have."""
    app = Flask("absent")
    app.before_request(lambda: missing(request.environ, "it does not have the service"))
    return app


def missing(environ: Mapping[str, Any], why: str) -> Response:  # Any: WSGI
    """The answer, in the form that the client's protocol has."""
    found = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = found[1] if found else "s3"
    text = f"moto, which answers for {service} here, does not do this: {why or 'it does not know the operation'}"
    if service == "s3" or "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        error = f"<Error><Code>{_CODE}</Code><Message>{escape(text)}</Message></Error>"
        whole = error if service == "s3" else f"<ErrorResponse>{error}</ErrorResponse>"
        return Response(whole, 501, content_type="application/xml")
    body = json.dumps({"__type": _CODE, "message": text})
    return Response(body, 501, {"x-amzn-errortype": _CODE}, content_type="application/json")
