"""Sends a span to the extension, as OpenTelemetry's exporters do."""

import json
import urllib.request

SPAN = {
    "traceId": "6746d1a20123456789abcdef01234567",
    "spanId": "0123456789abcdef",
    "name": "a span of the function",
    "kind": 1,
    "startTimeUnixNano": "1795694400000000000",
    "endTimeUnixNano": "1795694400100000000",
}


def handler(event, context):
    spans = [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {"name": "test"}, "spans": [SPAN]}]}]
    request = urllib.request.Request(
        "http://127.0.0.1:4318/v1/traces",
        data=json.dumps({"resourceSpans": spans}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return answer.status
