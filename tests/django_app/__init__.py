"""A main app that none of us wrote: Django with django-allauth, and Portcullis beside it in the same PostgreSQL.

What an app adds of its own: `directory.sql` (how Portcullis sees its people), `sign_in.py` (what a login writes down) and
`gate.py` (what a request is asked). Everything else here is an ordinary project.
"""
