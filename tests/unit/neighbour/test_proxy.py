"""Errors are in the form that the clients of each service read: botocore's own parsers read them here."""

from typing import Any

import botocore.parsers
import pytest

from lamella.awsapi.service_error import ServiceError
from lamella.httpserver.message import Request
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import Neighbours, absent
from lamella.neighbour.refusals import error_answer


def request(query: str = "", **headers: str) -> Request:
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request("POST", b"/", "/", query, fields)


@pytest.mark.parametrize(
    ("service", "protocol", "asked"),
    [
        ("s3", "rest-xml", request()),
        ("s3", "rest-xml", request(content_type="application/json")),
        ("ec2", "ec2", request(content_type="application/x-www-form-urlencoded; charset=utf-8")),
        ("sqs", "json", request(x_amz_target="AmazonSQS.SendMessage", content_type="application/x-amz-json-1.0")),
        ("sns", "query", request(content_type="application/x-www-form-urlencoded; charset=utf-8")),
        ("sts", "query", request("Action=GetCallerIdentity&Version=2011-06-15")),
        ("apigateway", "rest-json", request(content_type="application/json")),
        ("apigateway", "rest-json", request()),
        ("route53", "rest-xml", request()),
    ],
)
def test_an_error_is_read_by_the_services_clients(service: str, protocol: str, asked: Request) -> None:
    answer = error_answer(asked, service, ServiceError(501, "NotImplementedException", "nobody <here> & there"))
    response: dict[str, Any] = {
        "status_code": answer.status,
        "headers": {name.lower(): value for name, value in answer.headers},
        "body": answer.body,
    }
    parsed = botocore.parsers.create_parser(protocol).parse(response, None)
    assert parsed["Error"]["Code"] == "NotImplementedException"
    assert parsed["Error"]["Message"] == "nobody <here> & there"


class Moto:
    async def wait_ready(self) -> Endpoint:
        return Endpoint.parse("http://127.0.0.1:2")


async def test_who_answers_for_a_service() -> None:
    named = Endpoint.parse("http://127.0.0.1:1")
    assert await Neighbours({}, Moto()).endpoint("cloudformation") == await Moto().wait_ready()
    assert await Neighbours({"cloudformation": named}, Moto()).endpoint("cloudformation") == named
    assert await Neighbours({}, named).endpoint("cloudformation") == named
    nobody = Neighbours({"sqs": named}, None, "nobody is there")
    assert await nobody.endpoint("cloudformation") is None
    assert (nobody.serves("sqs"), nobody.serves("cloudformation")) == (True, False)
    assert "nobody is there" in absent(nobody, "cloudformation")
