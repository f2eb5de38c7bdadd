"""A small threaded server for one machine: the demo's. In production gunicorn serves the same application."""

from __future__ import annotations

import errno
import logging
import signal
from types import FrameType

from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

HOST = "127.0.0.1"
FIRST_PORT = 8000
PORTS_TRIED = 50


def server_on(port: int | None, application: WSGIHandler) -> ThreadedWSGIServer:
    """A bound server. port None: the first free one from 8000 on. OSError when the port is taken or none is free."""
    ports = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else (port,)
    for candidate in ports:
        try:
            server = ThreadedWSGIServer((HOST, candidate), WSGIRequestHandler, ipv6=False)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            server.set_app(application)
            return server
    raise OSError(errno.EADDRINUSE, f"no free port on {HOST} among {ports[0]} to {ports[-1]}")


def serve_until_interrupted(server: ThreadedWSGIServer) -> None:
    """Answer requests until Ctrl-C or SIGTERM; the port is free afterwards."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    logging.getLogger("django.server").setLevel(logging.ERROR)  # one line a request would bury the logins
    signal.signal(signal.SIGTERM, interrupted)
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
