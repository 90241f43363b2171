"""A key service that speaks KMS's JSON protocol for Decrypt; its ciphertext is the plaintext reversed."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

CONTEXT = {"retention": "evidence_tags"}


@contextmanager
def served() -> Iterator[str]:
    """Serve it on loopback; another encryption context than that of the tag keys is refused as KMS refuses it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            good = asked.get("EncryptionContext") == CONTEXT
            plain = base64.b64decode(asked["CiphertextBlob"])[::-1]
            answer = {"KeyId": asked["KeyId"], "Plaintext": base64.b64encode(plain).decode()}
            body = json.dumps(answer if good else {"__type": "InvalidCiphertextException"}).encode()
            self.send_response(200 if good else 400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
