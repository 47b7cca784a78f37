"""A function that uses Powertools for AWS Lambda as its documentation shows: log, trace, metrics, parameters.

What the library sends out of the process is caught inside the sandbox, and is part of the answer: the X-Ray daemon's
datagrams, and requests to Parameter Store, which a small server stands in for.
"""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters

asked = []


class ParameterStore(BaseHTTPRequestHandler):
    """Answers `GetParameter`."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked.append({"target": self.headers["X-Amz-Target"], **body})
        answer = json.dumps({"Parameter": {"Name": body["Name"], "Type": "String", "Value": "from the store"}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


store = HTTPServer(("127.0.0.1", 8080), ParameterStore)  # the function's AWS_ENDPOINT_URL_SSM
threading.Thread(target=store.serve_forever, daemon=True).start()
daemon = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
daemon.bind(("127.0.0.1", 2000))  # the function's AWS_XRAY_DAEMON_ADDRESS
daemon.settimeout(5)

logger = Logger()
tracer = Tracer()
metrics = Metrics()


@tracer.capture_method
def price(order):
    tracer.put_annotation("order", order)
    return 3 * order


@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
@tracer.capture_lambda_handler
def shop(event, context):
    logger.append_keys(order=event["order"])
    logger.info("priced")
    metrics.add_dimension(name="shop", value="corner")
    metrics.add_metric(name="Orders", unit=MetricUnit.Count, value=1)
    return {"price": price(event["order"]), "parameter": parameters.get_parameter("/shop/name")}


def handler(event, context):
    answer = shop(event, context)
    segments = []
    # One datagram for each subsegment, innermost first: the last is the handler's own, which waits for none.
    while not any(segment["name"] == "## shop" for segment in segments):
        segments.append(json.loads(daemon.recv(65536).split(b"\n", 1)[1]))
    return {**answer, "asked": list(asked), "segments": segments}
