"""The JSON API: everything the console does, for programs, under the same rules. Mounted at /api/v1 of the console.

    GET  with a viewer's or an operator's token      looks
    POST with an operator's token, JSON, a reason    orders, each recorded with the token's name

No cookies, so no form of another page can use it. Orders go through `jobs.store.steering`, as those of the command line and the console.
It describes itself at `openapi.json`, made from the same models that check requests and answers.
"""

from workers.api.application import api

__all__ = ["api"]
