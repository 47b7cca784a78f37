"""The event of an invocation must be JSON; what AWS says when it is not.

Source: answers of Invoke quoted in awsdocs/aws-lambda-developer-guide issues 351 and 382, aws/aws-sdk-js issue 1876 and
ballerina-platform/module-ballerina-c2c issue 15 (2018 to 2022). They are the messages of Jackson, a Java library; the
ones that Python's parser has a counterpart for are rendered here.
"""

import json
import re
from typing import Final

from lamella.domain._api_errors import InvalidRequestContentException


def _no_constant(name: str) -> float:
    raise ValueError(name)


# Numbers are only recognised, so the cheap conversion will do: Python's own refuses integers of 4,300 digits.
_DECODER: Final = json.JSONDecoder(parse_int=float, parse_constant=_no_constant)

_VALUE: Final = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_WANTED: Final = {
    "Expecting value": f"expected a valid value {_VALUE}",
    "Extra data": "Expected space separating root-level values",
    "Expecting property name enclosed in double quotes": "was expecting double-quote to start field name",
    "Illegal trailing comma before end of object": "was expecting double-quote to start field name",
    "Illegal trailing comma before end of array": f"expected a valid value {_VALUE}",
    "Expecting ':' delimiter": "was expecting a colon to separate field name and value",
    "Expecting ',' delimiter": "was expecting comma to separate entries",
}
_TOKEN: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_SHOWN_CHARS: Final = 500


def require_json(payload: bytes) -> None:
    """Check the payload of an invocation; an empty one is fine.

    Raises:
        InvalidRequestContentException: It is not JSON in UTF-8.
    """
    if not payload:
        return
    try:
        _DECODER.decode(payload.decode())
    except UnicodeDecodeError as error:
        text = payload.decode(errors="replace")
        reason = _at(f"Invalid UTF-8 start byte 0x{payload[error.start]:x}", text, error.start)
    except json.JSONDecodeError as error:
        reason = _at(_reason(error), error.doc, error.pos)
    except RecursionError:
        reason = "Document nesting depth exceeds the maximum allowed"
    except ValueError as error:  # NaN, Infinity
        reason = f"Non-standard token '{error}'"
    else:
        return
    raise InvalidRequestContentException(
        f"Could not parse request body into json: Could not parse payload into json: {reason}"
    )


def _reason(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc) or error.msg.startswith("Unterminated"):
        return "Unexpected end-of-input"
    token = _TOKEN.match(error.doc, error.pos)
    if error.msg == "Expecting value" and token:
        return f"Unrecognized token '{token.group()}': was expecting {_VALUE}"
    char = error.doc[error.pos]
    shown = f"'{char}' (code {ord(char)})" if char.isprintable() else f"(CTRL-CHAR, code {ord(char)})"
    return f"Unexpected character ({shown}): {_WANTED.get(error.msg, error.msg)}"


def _at(reason: str, text: str, position: int) -> str:
    """The reason with its place, which Jackson gives as the column after the offending character."""
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 2
    return f'{reason}\n at [Source: (byte[])"{text[:_SHOWN_CHARS]}"; line: {line}, column: {column}]'
