"""Properties as parameters of Lambda's API."""

import botocore.session
import pytest

from lamella.neighbour.stacks.coercion import arguments, refuse, tag_map
from lamella.neighbour.stacks.errors import ResourceError


@pytest.fixture(scope="module")
def client() -> object:
    session = botocore.session.Session()
    return session.create_client("lambda", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def test_texts_become_what_the_api_takes(client: object) -> None:
    found = arguments(
        client,
        "CreateFunction",
        {
            "FunctionName": "f",
            "Timeout": "3",
            "MemorySize": 128,
            "Environment": {"Variables": {"A": True, "B": 1}},
            "Layers": ["x"],
            "NotOfTheApi": 1,
        },
    )
    assert found == {
        "FunctionName": "f",
        "Timeout": 3,
        "MemorySize": 128,
        "Environment": {"Variables": {"A": "true", "B": "1"}},
        "Layers": ["x"],
    }
    assert arguments(client, "CreateEventSourceMapping", {"Enabled": "false"}) == {"Enabled": False}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("Timeout", "long", "#/Timeout: expected type: Number, found: String"),
        ("Layers", "x", "#/Layers: expected type: JSONArray, found: String"),
        ("Environment", {"Vars": {}}, r"#/Environment: extraneous key \[Vars\] is not permitted"),
        ("Description", {}, "#/Description: expected type: String, found: JSONObject"),
    ],
)
def test_what_is_not_of_the_type(client: object, name: str, value: object, said: str) -> None:
    with pytest.raises(ResourceError, match=said):
        arguments(client, "CreateFunction", {name: value})


def test_tags() -> None:
    assert tag_map([{"Key": "a", "Value": 1}]) == {"a": "1"}
    assert tag_map({"a": "b"}) == {"a": "b"}
    assert tag_map(None) == {}


def test_what_would_have_no_effect_is_refused() -> None:
    with pytest.raises(ResourceError, match="does not know the property B"):
        refuse({"A": 1, "B": 2}, ("B", "C"))
