"""A process with a network of its own reaches through the proxy what it was granted, only that."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.model.grants import parse_grants
from engine.sandbox.egress import Egress
from engine.sandbox.listener import receive_listener
from tests.proxying import TOKEN, Internet, web

ROOT = Path(__file__).parents[3]
PUBLIC = "93.184.216.34"
UNSHARE = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
CHILD = """
import fcntl, json, os, socket, struct, sys, urllib.error, urllib.request
root, descriptor, token, own_port = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
sys.path.insert(0, root)
from worker.outlet import open_outlet, proxy_variables

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
os.environ.update(proxy_variables(open_outlet(descriptor), token))

def fetched(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()

def connected(host, port):
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        return type(error).__name__, error.errno
    return "connected", 0

print(json.dumps({
    "granted": fetched("http://example.org/a"),
    "other": fetched("http://other.org/a"),
    "server": fetched(f"http://localhost:{own_port}/api/v3/engine/x"),
    "inside": fetched(f"http://10.0.0.5:{own_port}/"),
    "loopback": connected("127.0.0.1", int(own_port)),
    "public": connected("93.184.216.34", 80),
}))
"""


def can_unshare() -> bool:
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def report_of_child(egress: Egress, port: int) -> dict[str, Any]:
    ours, theirs = socket.socketpair()
    arguments = [str(ROOT), str(theirs.fileno()), TOKEN, str(port)]
    command = [*UNSHARE, sys.executable, "-I", "-S", "-c", CHILD, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()]) as child:
        theirs.close()
        with ours:
            listener = receive_listener(ours, 10.0)
        grants = parse_grants(["net=example.org:80", "net=self"])
        handle = egress.attach(listener, TOKEN, grants, "alerts", lambda: ("127.0.0.1", port))
        output, _ = child.communicate(timeout=30)
        handle.close()
    report: dict[str, Any] = json.loads(output)
    return report


@pytest.mark.skipif(not can_unshare(), reason="no network namespaces here")
def test_a_namespace_reaches_what_is_granted_and_nothing_else() -> None:
    refused: list[str] = []
    with web([]) as port:
        internet = Internet({"example.org": [[PUBLIC]], "other.org": [[PUBLIC]]}, {PUBLIC: port})
        egress = Egress(
            lambda _, text: refused.append(text),
            resolve=internet.resolve,
            connect=internet.connect,
        )
        egress.start()
        try:
            report = report_of_child(egress, port)
        finally:
            assert egress.stop()

    assert report == {
        "granted": "GET /a 0",
        "other": "other.org:80: missing grant net=other.org:80\n",
        "server": "GET /api/v3/engine/x 0",
        "inside": f"10.0.0.5:{port}: missing grant net=10.0.0.5:{port}\n",
        "loopback": ["ConnectionRefusedError", 111],
        "public": ["OSError", 101],
    }
    assert len(refused) == 2
