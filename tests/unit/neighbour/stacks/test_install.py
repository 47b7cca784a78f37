"""Taking moto's place, and where templates are."""

import moto.cloudformation.urls
import pytest

from lamella.neighbour.services.patching import UnknownMotoError
from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.install import install, place_of
from lamella.neighbour.stacks.motokinds import models


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:4566/bucket/a/b.yaml", ("bucket", "a/b.yaml")),
        ("https://s3.us-east-1.amazonaws.com/bucket/a%20b", ("bucket", "a b")),
        ("https://s3.amazonaws.com/bucket/key?versionId=1", ("bucket", "key")),
        ("https://bucket.s3.us-east-1.amazonaws.com/a/b", ("bucket", "a/b")),
        ("https://a.b.s3.amazonaws.com/key", ("a.b", "key")),
        ("s3://bucket/a/b", ("bucket", "a/b")),
    ],
)
def test_where_an_objects_url_leads(url: str, place: tuple[str, str]) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize("url", ["http://127.0.0.1:4566/", "https://example.com/bucket", "x"])
def test_urls_that_lead_nowhere(url: str) -> None:
    with pytest.raises(StackError, match="TemplateURL must be a supported URL"):
        place_of(url)


def test_a_moto_that_is_built_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own stacks would answer."""
    monkeypatch.setattr(moto.cloudformation.urls, "url_paths", {"{0}/cfn": object()})
    with pytest.raises(UnknownMotoError, match="CloudFormation is not at"):
        install()


def test_models_are_where_they_are_looked_for() -> None:
    assert {"AWS::ECR::Repository", "AWS::SSM::Parameter", "AWS::Kinesis::Stream"} <= models().keys()
