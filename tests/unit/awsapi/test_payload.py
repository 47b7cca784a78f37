import pytest

from lamella.awsapi.payload import require_json
from lamella.domain._api_errors import InvalidRequestContentException

PREFIX = "Could not parse request body into json: Could not parse payload into json: "
VALUE = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"


@pytest.mark.parametrize(
    "payload", [b"", b"null", b'"x"', b"1", b"-1.5e3", b' {"a": [1, {}]} ', b"9" * 5000, '"ü"'.encode(), b"\n[]\n"]
)
def test_json(payload: bytes) -> None:
    require_json(payload)


@pytest.mark.parametrize(
    ("payload", "reason", "line", "column"),
    [
        (b"STRING_VALUE", f"Unrecognized token 'STRING_VALUE': was expecting {VALUE}", 1, 2),
        (b"%", f"Unexpected character ('%' (code 37)): expected a valid value {VALUE}", 1, 2),
        (b"\x01", f"Unexpected character ((CTRL-CHAR, code 1)): expected a valid value {VALUE}", 1, 2),
        (b"0D", "Unexpected character ('D' (code 68)): Expected space separating root-level values", 1, 3),
        (b"{a", "Unexpected character ('a' (code 97)): was expecting double-quote to start field name", 1, 3),
        (
            b'{"a" 1}',
            "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value",
            1,
            7,
        ),
        (b"[1\n 2]", "Unexpected character ('2' (code 50)): was expecting comma to separate entries", 2, 3),
        (b'["\\x"]', "Unexpected character ('\\' (code 92)): Invalid \\escape", 1, 4),
        (b"{", "Unexpected end-of-input", 1, 3),
        (b'"a', "Unexpected end-of-input", 1, 2),
        (b'{"a', "Unexpected end-of-input", 1, 3),
        (b"a\x97", "Invalid UTF-8 start byte 0x97", 1, 3),
    ],
)
def test_the_words_for_what_is_not_json(payload: bytes, reason: str, line: int, column: int) -> None:
    with pytest.raises(InvalidRequestContentException) as caught:
        require_json(payload)
    text = payload.decode(errors="replace")
    place = f'\n at [Source: (byte[])"{text}"; line: {line}, column: {column}]'
    assert caught.value.message == f"{PREFIX}{reason}{place}"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[" * 100_000, "Document nesting depth exceeds the maximum allowed"),
        (b"NaN", "Non-standard token 'NaN'"),
    ],
)
def test_failures_without_a_place(payload: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequestContentException) as caught:
        require_json(payload)
    assert caught.value.message == PREFIX + reason


def test_a_long_payload_is_quoted_in_part() -> None:
    with pytest.raises(InvalidRequestContentException) as caught:
        require_json(b'["' + b"x" * 10_000 + b'" 1]')
    assert len(caught.value.message) < 1_000
