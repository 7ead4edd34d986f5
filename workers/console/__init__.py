"""The console: every run and queue in a browser, for whoever is woken at three in the morning. A process of its own.

    protection (host, origin, size, headers) ─▶ door (session, role, form token) ─▶ page or order

It keeps nothing: what it shows is asked of PostgreSQL (and Redis) at that moment, and what people order goes through `jobs.store.steering`,
as it does from the command line. Pages work without scripts; with them, what changes by itself is shown as it changes.
"""
