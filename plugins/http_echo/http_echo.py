"""Answer with what came in: a first look at request plugins, and a probe for clients.

Trigger: `request:<path>`; then `GET` or `POST` to `/api/v3/engine/<path>`.
Query parameters: `status`, the status of the answer (default 200); `order`, the order in which
the plugin returns its answer, `flask` (default: body, status, headers) or `docs` (status,
headers, body). Both reach the client as the same answer.
"""

import json


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    """Return query parameters, headers, body and arguments as JSON."""
    status = int(query_parameters.get("status", "200"))
    echo = {
        "query_parameters": query_parameters,
        "headers": request_headers,
        "body": request_body.decode("utf-8", "replace"),
        "arguments": args,
    }
    influxdb3_local.info("echo of", len(request_body), "bytes")
    headers = {"X-Echo-Bytes": str(len(request_body))}
    if query_parameters.get("order") == "docs":
        return status, {**headers, "Content-Type": "application/json"}, json.dumps(echo)
    return echo, status, headers
