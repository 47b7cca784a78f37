import uuid
from dataclasses import dataclass

import pytest

from lamella.awsapi.context import Context, Services, new_request_id


def test_request_ids_are_random_uuids_in_canonical_form() -> None:
    ids = {new_request_id() for _ in range(100)}
    assert len(ids) == 100
    for text in ids:
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122


@dataclass(frozen=True, slots=True)
class Group:
    name: str


def test_services_are_found_by_their_type() -> None:
    group = Group("mine")
    assert Services(group, "other")[Group] is group
    with pytest.raises(KeyError):
        Services("other")[Group]


def test_headers_that_are_no_member_of_an_operation() -> None:
    headers = [("x-a", "1"), ("x-b", "2"), ("x-b", "3")]
    context = Context("0" * 12, "us-east-1", "r-1", "http://localhost", Services(), headers)
    assert (context.header("x-b"), context.header("x-c")) == ("2", "")
