"""The gate in front of a Python main app: a middleware that asks `portcullis.gate` once a request, for ASGI and for WSGI.

    app = AsgiGate(app, pool=pool, identify=visitor_of, set_up_at="/two-factor", allow=["/logout"])
    app = WsgiGate(app, connect=pool.connection, identify=visitor_of, set_up_at="/two-factor", allow=["/logout"])

Outside of enrolment and logout nothing is served to a session that has to set up a second factor. Nothing is cached. Where the question
can't be answered, nothing is served either: the gate fails closed.
"""

from jobs.gate.asgi import AsgiGate
from jobs.gate.visitor import Visitor
from jobs.gate.wsgi import WsgiGate

__all__ = ["AsgiGate", "Visitor", "WsgiGate"]
