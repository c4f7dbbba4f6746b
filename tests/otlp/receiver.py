"""An OTLP receiver: takes traces by gRPC and by HTTP, and writes each span as a line of JSON.

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
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

out = open(sys.argv[1], "a", encoding="utf-8")
one_at_a_time = threading.Lock()


def value(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind else None


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def link(one):
    return {"trace": one.trace_id.hex(), "span": one.span_id.hex(), "attributes": attributes(one.attributes)}


def take(request, by):
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
                    out.write(json.dumps(told) + "\n")
        out.flush()


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        take(request, "grpc")
        return trace_service_pb2.ExportTraceServiceResponse()


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
            return self.answer(404, b"")
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        take(trace_service_pb2.ExportTraceServiceRequest.FromString(body), "http")
        self.answer(200, trace_service_pb2.ExportTraceServiceResponse().SerializeToString())

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
port = by_grpc.add_insecure_port("127.0.0.1:0")
by_grpc.start()
by_http = ThreadingHTTPServer(("127.0.0.1", 0), Http)
print(json.dumps({"grpc": port, "http": by_http.server_address[1]}), flush=True)
by_http.serve_forever()
