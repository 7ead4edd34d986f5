"""What Prometheus, Grafana and probes are told: what the processes counted, what PostgreSQL and Redis know, and whether that is well.

    process ── every 5 s ──▶ portcullis.metric ──┐
                              PostgreSQL, Redis ─┴─ at each scrape ──▶ `portcullis metrics`: /metrics, /healthz, /readyz

Numbers are right across processes and machines, because they are added up in PostgreSQL and shown in one place. `alerts.yaml`,
`runbook.md` and `dashboard.json` lie beside.
"""
