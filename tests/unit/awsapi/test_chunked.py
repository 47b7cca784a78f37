"""Bodies in S3's chunks: AWS's own examples, framing cut anywhere, and what must not pass."""

import hashlib
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.awsapi.chunked import CHUNK_BYTES_MAX, ChunkedGuard
from lamella.awsapi.service_error import ServiceError
from lamella.domain.signature import ChunkSigner, signing_key

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = signing_key(SECRET, "20130524", "us-east-1", "s3")
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHUNKS = (
    "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)
LENGTH = 66_560
# Source: S3's API reference, "Signature Calculations ... Multiple Chunks": PUT of 65 KiB of the letter a.
EXAMPLE = "\r\n".join([CHUNKS[0], "a" * 65_536, CHUNKS[1], "a" * 1024, CHUNKS[2], "", ""]).encode()


def signer(seed: str = SEED) -> ChunkSigner:
    return ChunkSigner(KEY, timestamp="20130524T000000Z", region="us-east-1", service="s3", seed=seed)


def passed(guard: ChunkedGuard, pieces: Iterable[bytes]) -> bytes:
    return b"".join([*map(guard.feed, pieces), guard.finish()])


def refused(guard: ChunkedGuard, *pieces: bytes) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        passed(guard, pieces)
    return caught.value


def signed(*chunks: bytes, trailer: bytes = b"", make: ChunkSigner | None = None) -> bytes:
    """A body as a client makes it; the trailer with line feeds, as it is signed."""
    make = make or signer()
    body = b""
    for data in (*chunks, b""):
        line = f"{len(data):x};chunk-signature={make.chunk(hashlib.sha256(data).hexdigest())}\r\n"
        body += line.encode() + data + (b"\r\n" if data else b"")
    if trailer:
        body += trailer.replace(b"\n", b"\r\n") + f"x-amz-trailer-signature:{make.trailer(trailer)}\r\n".encode()
    return body + b"\r\n"


def test_the_example_of_aws() -> None:
    assert passed(ChunkedGuard(LENGTH, signer()), [EXAMPLE]) == EXAMPLE


@pytest.mark.parametrize("line_end", ["\r\n", "\n\r\n"])
def test_the_example_of_aws_with_a_trailer(line_end: str) -> None:
    """Source: the same, "... with trailing headers"; its line end is that of the second kind.

    The signature of the trailer is the one that minio-go's tests have: what the page shows is another one.
    """
    signature = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"
    lines = [
        "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "a" * 65_536,
        "400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "a" * 1024,
        "0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        f"x-amz-checksum-crc32c:sOO8/Q=={line_end}x-amz-trailer-signature:{signature}",
    ]
    body = ("\r\n".join(lines) + "\r\n\r\n").encode()
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    assert passed(ChunkedGuard(LENGTH, signer(seed), ["x-amz-checksum-crc32c"]), [body]) == body
    other = body.replace(b"sOO8", b"sOO9")
    assert refused(ChunkedGuard(LENGTH, signer(seed), ["x-amz-checksum-crc32c"]), other).code == "SignatureDoesNotMatch"


def test_nothing_of_a_chunk_passes_before_its_signature_and_nothing_ends_before_all_is_known() -> None:
    guard = ChunkedGuard(LENGTH, signer())
    first = len(CHUNKS[0]) + 2 + 65_536
    assert guard.feed(EXAMPLE[:first]) == b""
    assert guard.feed(EXAMPLE[first : first + 2]) == EXAMPLE[: first + 2]
    last = len(EXAMPLE) - len(CHUNKS[2]) - 4
    assert guard.feed(EXAMPLE[first + 2 :]) == EXAMPLE[first + 2 : last]
    assert guard.finish() == EXAMPLE[last:]


BODIES: dict[str, tuple[bytes, Callable[[], ChunkedGuard]]] = {
    "signed": (signed(b"x" * 9000, b"y" * 5), lambda: ChunkedGuard(9005, signer())),
    "signed and empty": (signed(), lambda: ChunkedGuard(0, signer())),
    "signed with a trailer": (
        signed(b"x" * 8192, b"y", trailer=b"x-amz-checksum-crc32:AAAA\n"),
        lambda: ChunkedGuard(8193, signer(), ["x-amz-checksum-crc32"]),
    ),
    "not signed": (
        b"2000\r\n" + b"\r\n" * 4096 + b"\r\n3\r\n0\r\n\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n",
        lambda: ChunkedGuard(8195, None, ["x-amz-checksum-crc32"]),
    ),
    "not signed and empty": (
        b"0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n",
        lambda: ChunkedGuard(0, None, ["x-amz-checksum-crc32"]),
    ),
    "not signed, as minio-go ends it": (
        b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAA\n\r\n\r\n",
        lambda: ChunkedGuard(5, None, ["x-amz-checksum-crc32"]),
    ),
}


@pytest.mark.parametrize("kind", BODIES)
@given(data=st.data())
def test_it_does_not_matter_where_a_body_is_cut(kind: str, data: st.DataObject) -> None:
    body, guard = BODIES[kind]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    edges = [0, *cuts, len(body)]
    assert passed(guard(), [body[a:b] for a, b in pairwise(edges) if a < b]) == body


@pytest.mark.parametrize("kind", BODIES)
def test_byte_by_byte(kind: str) -> None:
    body, guard = BODIES[kind]
    assert passed(guard(), [body[i : i + 1] for i in range(len(body))]) == body


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_that_ends_early_does_not_end(kind: str) -> None:
    body, guard = BODIES[kind]
    for end in [*range(0, len(body), 97), *range(max(0, len(body) - 120), len(body))]:
        if kind.endswith("ends it") and end == len(body) - 2:
            continue  # one line end less is what others send
        assert refused(guard(), body[:end]).status in (400, 403)


@pytest.mark.parametrize("kind", ["signed", "signed with a trailer"])
@given(data=st.data())
def test_one_altered_byte_is_noticed(kind: str, data: st.DataObject) -> None:
    body, guard = BODIES[kind]
    at = data.draw(st.integers(0, len(body) - 1))
    altered = bytearray(body)
    altered[at] ^= data.draw(st.sampled_from([1, 0x20, 0x80]))
    if bytes(altered).lower() == body.lower():
        return  # a size, or the name of a trailer, in capitals is the same
    refused(guard(), bytes(altered))


def test_a_wrong_signature_in_the_middle() -> None:
    body = signed(b"x" * 9000, b"y" * 9000, b"z")
    wrong = body.replace(b"y", b"Y", 1)
    guard = ChunkedGuard(18_001, signer())
    begin = body.index(b"\r\n2328;", 10) + 2  # of the second chunk
    assert guard.feed(wrong[:begin]) == body[:begin]
    with pytest.raises(ServiceError) as caught:
        guard.feed(wrong[begin:])
    assert (caught.value.status, caught.value.code) == (403, "SignatureDoesNotMatch")


def test_chunks_in_another_order_or_left_out() -> None:
    first, second, third = b"x" * 9000, b"y" * 9000, b"z" * 9000
    body = signed(first, second, third)
    parts = body.split(b"\r\n")  # line, data, line, data, line, data, line, "", ""
    swapped = b"\r\n".join([*parts[2:4], *parts[:2], *parts[4:]])
    assert refused(ChunkedGuard(27_000, signer()), swapped).code == "SignatureDoesNotMatch"
    shortened = b"\r\n".join([*parts[:2], *parts[4:]])
    assert refused(ChunkedGuard(18_000, signer()), shortened).code == "SignatureDoesNotMatch"
    assert refused(ChunkedGuard(27_000, signer("0" * 64)), body).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "begin",
    [
        b"g;chunk-signature=" + b"0" * 64 + b"\r\n",
        b"-5;chunk-signature=" + b"0" * 64 + b"\r\n",
        b"0x5;chunk-signature=" + b"0" * 64 + b"\r\n",
        b"5 ;chunk-signature=" + b"0" * 64 + b"\r\n",
        b"5_0;chunk-signature=" + b"0" * 64 + b"\r\n",
        b"5;chunk-signature=" + b"0" * 63 + b"\r\n",
        b"5;chunk-signature=" + b"0" * 64 + b";x=y\r\n",
        b"5;chunk-signature=" + b"0" * 64 + b"\nhello\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"\r\n",
        b"5" * 300,
        b"0" * 17 + b";chunk-signature=" + b"0" * 64 + b"\r\n",
    ],
)
def test_what_is_no_chunk(begin: bytes) -> None:
    guard = ChunkedGuard(5, signer())
    with pytest.raises(ServiceError) as caught:
        guard.feed(begin)
    assert (caught.value.status, caught.value.code) == (400, "IncompleteBody")


def test_a_line_without_end_is_not_collected() -> None:
    guard = ChunkedGuard(5, None)
    for _ in range(255):
        guard.feed(b"0")
    with pytest.raises(ServiceError):
        guard.feed(b"0")


def test_a_chunk_that_would_take_too_much_memory() -> None:
    size = CHUNK_BYTES_MAX + 1
    line = f"{size:x};chunk-signature={'0' * 64}\r\n".encode()
    assert refused(ChunkedGuard(size, signer()), line).code == "InvalidRequest"


def test_chunks_that_are_too_small() -> None:
    error = refused(ChunkedGuard(8, None), b"4\r\nabcd\r\n4\r\nefgh\r\n0\r\n\r\n")
    assert (error.status, error.code) == (403, "InvalidChunkSizeError")
    assert error.members == {"Chunk": "1", "BadChunkSize": "4"}


@pytest.mark.parametrize("announced", [8999, 9001, 0, 10**12])
def test_another_length_than_announced(announced: int) -> None:
    assert refused(ChunkedGuard(announced, signer()), signed(b"x" * 9000)).code == "IncompleteBody"


@pytest.mark.parametrize(
    ("end", "announced"),
    [
        (b"\r\n", ["x-amz-checksum-crc32"]),
        (b"x-amz-checksum-crc32:AAAA\r\n\r\n", []),
        (b"x-amz-checksum-crc32c:AAAA\r\n\r\n", ["x-amz-checksum-crc32"]),
        (b"x-amz-checksum-crc32:AAAA\r\nx-amz-checksum-crc32:BBBB\r\n\r\n", ["x-amz-checksum-crc32"]),
        (b"nonsense\r\n\r\n", ["nonsense"]),
        (b"x-amz-checksum-crc32:\x00\r\n\r\n", ["x-amz-checksum-crc32"]),
        (b"x-amz-checksum-crc32:" + b"A" * 9000 + b"\r\n\r\n", ["x-amz-checksum-crc32"]),
    ],
)
def test_trailers_that_are_missing_or_not_announced(end: bytes, announced: list[str]) -> None:
    assert refused(ChunkedGuard(1, None, announced), b"1\r\na\r\n0\r\n" + end).code == "MalformedTrailerError"


def test_a_trailer_without_its_signature() -> None:
    body = signed(b"x", trailer=b"x-amz-checksum-crc32:AAAA\n")
    cut = body[: body.index(b"x-amz-trailer-signature")] + b"\r\n"
    assert refused(ChunkedGuard(1, signer(), ["x-amz-checksum-crc32"]), cut).code == "SignatureDoesNotMatch"
    other = body.replace(b"x-amz-checksum-crc32", b"x-amz-checksum-sha1")
    assert refused(ChunkedGuard(1, signer(), ["x-amz-checksum-sha1"]), other).code == "SignatureDoesNotMatch"


def test_what_comes_after_the_end() -> None:
    body = signed(b"x")
    refused(ChunkedGuard(1, signer()), body + body)
    refused(ChunkedGuard(1, signer()), body, b"GET / HTTP/1.1\r\n\r\n")


_FRAGMENTS = st.one_of(
    st.sampled_from([b"\r\n", b"\n", b"0", b"5", b"ffffffffffffffff", b";chunk-signature=", b"0" * 64, b":", b"hello"]),
    st.binary(max_size=40),
)


@given(
    pieces=st.lists(st.lists(_FRAGMENTS, max_size=6).map(b"".join), max_size=12),
    length=st.integers(0, 20),
    signs=st.booleans(),
    trailers=st.sampled_from([(), ("x-amz-checksum-crc32",)]),
)
def test_anything_passes_as_it_came_or_is_refused(
    pieces: list[bytes], length: int, signs: bool, trailers: tuple[str, ...]
) -> None:
    guard = ChunkedGuard(length, signer() if signs else None, trailers)
    seen = b""
    try:
        for piece in pieces:
            seen += guard.feed(piece)
            assert b"".join(pieces).startswith(seen)
            assert len(guard._held) + len(guard._rest) < 10_000
        assert seen + guard.finish() == b"".join(pieces)
    except ServiceError:
        return  # anything else is a bug
