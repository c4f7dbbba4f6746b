"""An OTLP receiver of metrics: takes them by gRPC and by HTTP, and writes each data point as a line of JSON.

What is on the wire is read by OpenTelemetry's own messages (opentelemetry-proto), gRPC by grpcio. The first line that it
prints says where it listens: `{"grpc": PORT, "http": PORT}`. Everything else goes into the file that it is given.
"""

import gzip
import json
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc

CUMULATIVE = 2
out = open(sys.argv[1], "a", encoding="utf-8")
one_at_a_time = threading.Lock()


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def number(point):
    if hasattr(point, "count"):
        return point.count
    return getattr(point, point.WhichOneof("value"))


def take(request, by):
    with one_at_a_time:
        for of_resource in request.resource_metrics:
            service = attributes(of_resource.resource.attributes)["service.name"]
            for metric in (metric for of_scope in of_resource.scope_metrics for metric in of_scope.metrics):
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind)
                for point in data.data_points:
                    told = {
                        "by": by,
                        "service": service,
                        "name": metric.name,
                        "unit": metric.unit,
                        "kind": kind,
                        "cumulative": kind == "gauge" or data.aggregation_temporality == CUMULATIVE,
                        "attributes": attributes(point.attributes),
                        "number": number(point),
                    }
                    out.write(json.dumps(told) + "\n")
        out.flush()


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def Export(self, request, context):
        take(request, "grpc")
        return metrics_service_pb2.ExportMetricsServiceResponse()


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/metrics" or self.headers["Content-Type"] != "application/x-protobuf":
            return self.answer(404, b"")
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        take(metrics_service_pb2.ExportMetricsServiceRequest.FromString(body), "http")
        self.answer(200, metrics_service_pb2.ExportMetricsServiceResponse().SerializeToString())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


by_grpc = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), by_grpc)
port = by_grpc.add_insecure_port("127.0.0.1:0")
by_grpc.start()
by_http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
print(json.dumps({"grpc": port, "http": by_http.server_address[1]}), flush=True)
by_http.serve_forever()
