"""An OTLP receiver: takes traces and metrics by gRPC and by HTTP, and writes each span and each data point as a line of JSON.

What is on the wire is read by OpenTelemetry's own messages (opentelemetry-proto), gRPC by grpcio. The first line that it
prints says where it listens: `{"grpc": PORT, "http": PORT}`. Spans go into the first file that it is given, points into the
second.
"""

import gzip
import json
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

CUMULATIVE = 2
spans, points = [open(file, "a", encoding="utf-8") for file in sys.argv[1:3]]
one_at_a_time = threading.Lock()


def value(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind else None


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def link(one):
    return {"trace": one.trace_id.hex(), "span": one.span_id.hex(), "attributes": attributes(one.attributes)}


def number(point):
    if hasattr(point, "count"):
        return point.count
    return getattr(point, point.WhichOneof("value"))


def take_metrics(request, by):
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
                    points.write(json.dumps(told) + "\n")
        points.flush()


def take_traces(request, by):
    with one_at_a_time:
        for of_resource in request.resource_spans:
            resource = attributes(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    told = {
                        "by": by,
                        "resource": resource,
                        "scope": of_scope.scope.name,
                        "trace": span.trace_id.hex(),
                        "span": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "name": span.name,
                        "kind": trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                        "start": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "error": span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                        "words": span.status.message,
                        "attributes": attributes(span.attributes),
                        "links": [link(one) for one in span.links],
                    }
                    spans.write(json.dumps(told) + "\n")
        spans.flush()


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        take_traces(request, "grpc")
        return trace_service_pb2.ExportTraceServiceResponse()


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def Export(self, request, context):
        take_metrics(request, "grpc")
        return metrics_service_pb2.ExportMetricsServiceResponse()


# What is taken where, how, and what is answered.
BY_HTTP = {
    "/v1/traces": (
        trace_service_pb2.ExportTraceServiceRequest,
        take_traces,
        trace_service_pb2.ExportTraceServiceResponse,
    ),
    "/v1/metrics": (
        metrics_service_pb2.ExportMetricsServiceRequest,
        take_metrics,
        metrics_service_pb2.ExportMetricsServiceResponse,
    ),
}


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path not in BY_HTTP or self.headers["Content-Type"] != "application/x-protobuf":
            return self.answer(404, b"")
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request, take, response = BY_HTTP[self.path]
        take(request.FromString(body), "http")
        self.answer(200, response().SerializeToString())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


by_grpc = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), by_grpc)
metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), by_grpc)
port = by_grpc.add_insecure_port("127.0.0.1:0")
by_grpc.start()
by_http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
print(json.dumps({"grpc": port, "http": by_http.server_address[1]}), flush=True)
by_http.serve_forever()
