from collections.abc import Callable

import pytest

from lamella.awsapi.route import Match, Router
from lamella.awsapi.spec import ServiceSpec


@pytest.fixture(scope="module")
def router(spec: ServiceSpec) -> Router:
    return Router(spec)


def test_every_operation_routes_to_itself(spec: ServiceSpec, router: Router) -> None:
    found = {}
    for name, operation in spec.operations.items():
        path, _, query = operation.http["requestUri"].replace("{", "x").replace("}", "").partition("?")
        match = router.match(operation.http["method"], path, query)
        found[name] = match and match.operation
    assert found == {name: name for name in spec.operations}


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("f", "f"),
        (
            "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af%3Alive",
            "arn:aws:lambda:us-east-1:123456789012:function:f:live",
        ),
        ("arn:aws:lambda:us-east-1:123456789012:function:f", "arn:aws:lambda:us-east-1:123456789012:function:f"),
        ("%24LATEST", "$LATEST"),
        ("a%2Fb", "a/b"),
        ("a+b", "a+b"),
        ("caf%C3%A9", "café"),
    ],
)
def test_labels_are_percent_decoded(router: Router, label: str, value: str) -> None:
    match = router.match("POST", f"/2015-03-31/functions/{label}/invocations", "")
    assert match == Match("Invoke", {"FunctionName": value})


@pytest.mark.parametrize(
    ("query", "operation"),
    [
        ("", "ListLayers"),
        ("find=LayerVersion&Arn=a", "GetLayerVersionByArn"),
        ("Arn=a&find=LayerVersion", "GetLayerVersionByArn"),
        ("find=Other", "ListLayers"),
        ("MaxItems=5", "ListLayers"),
    ],
)
def test_a_query_in_the_template_tells_operations_apart(router: Router, query: str, operation: str) -> None:
    match = router.match("GET", "/2018-10-31/layers", query)
    assert match is not None
    assert match.operation == operation


def test_an_operation_only_reachable_by_its_query(made_spec: Callable[..., ServiceSpec]) -> None:
    router = Router(made_spec(uri="/do?mode=x"))
    assert router.match("POST", "/do", "mode=x") == Match("Do", {})
    assert router.match("POST", "/do", "mode=y") is None


def test_a_trailing_slash_does_not_matter(router: Router) -> None:
    match = router.match("POST", "/2015-03-31/functions/", "")
    assert match == Match("CreateFunction", {})


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "x",
        "2015-03-31/functions",
        "//2015-03-31/functions",
        "/2015-03-31",
        "/2015-03-31/functions//code",
        "/bucket/key",
    ],
)
def test_unknown_paths(router: Router, path: str) -> None:
    assert router.match("GET", path, "") is None
    assert not router.knows(path)


def test_a_wrong_method_on_a_known_path(router: Router) -> None:
    assert router.match("PATCH", "/2015-03-31/functions/f", "") is None
    assert router.knows("/2015-03-31/functions/f")


def test_labels_named_differently_on_one_path_keep_their_names(router: Router) -> None:
    match = router.match("GET", "/2018-10-31/layers/l/versions/3", "")
    assert match == Match("GetLayerVersion", {"LayerName": "l", "VersionNumber": "3"})


def test_greedy_labels_are_refused_loudly(made_spec: Callable[..., ServiceSpec]) -> None:
    with pytest.raises(NotImplementedError, match="greedy"):
        Router(made_spec(uri="/do/{Name+}"))
