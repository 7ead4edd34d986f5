"""The verb `doctor`: looks at everything that Portcullis stands on, one subject a file. It changes nothing and sends nothing.

    settings    every variable                    database    reachable, version, isolation, revision, LISTEN
    contract    views, columns, functions         plans       what the gate and a batch read through directory.member
    broker      reachable, version, memory        relay       TCP, TLS, AUTH, capabilities
    keys        the ring, and who can't verify    clock       this host, PostgreSQL, Redis
    workers     who announced themselves, and who leads

Each check returns findings: what it saw, and what to do about it.
"""
