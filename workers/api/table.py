"""Every endpoint on one page."""

from http import HTTPStatus

from pydantic import BaseModel

from workers.api import looks, orders, questions
from workers.api.calls import Endpoint, Handler

GONE = (HTTPStatus.NOT_FOUND,)
STALE = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)

LOOKS = (
    Endpoint(path="/runs", handler=looks.list_runs, answer=looks.Runs, query_model=questions.RunsQuery, problems=GONE),
    Endpoint(path="/runs/{run_id}", handler=looks.show_run, answer=looks.Run, path_model=questions.RunPath, problems=GONE),
    Endpoint(path="/members/{user_id}", handler=looks.show_member, answer=looks.Member, path_model=questions.MemberPath, problems=GONE),
    Endpoint(path="/queues", handler=looks.list_queues, answer=looks.Queues),
    Endpoint(path="/dead", handler=looks.list_dead, answer=looks.Dead, query_model=questions.DeadQuery, problems=GONE),
    Endpoint(
        path="/dead/batches/{batch_id}", handler=looks.show_dead, answer=looks.DeadOne, path_model=questions.BatchPath, problems=STALE
    ),
    Endpoint(path="/workers", handler=looks.list_workers, answer=looks.Workers),
    Endpoint(path="/pauses", handler=looks.list_pauses, answer=looks.Pauses),
    Endpoint(path="/limits", handler=looks.list_limits, answer=looks.Limits),
    Endpoint(path="/breakers", handler=looks.list_breakers, answer=looks.Breakers),
    Endpoint(path="/actions", handler=looks.list_actions, answer=looks.Actions, query_model=questions.ActionsQuery, problems=GONE),
    Endpoint(path="/audit", handler=looks.show_audit, answer=looks.Audit),
)


def _order(
    path: str, handler: Handler, answer: type[BaseModel], body: type[BaseModel], path_model: type[BaseModel] | None = None
) -> Endpoint:
    return Endpoint(method="POST", path=path, handler=handler, answer=answer, body_model=body, path_model=path_model, problems=STALE)


ORDERS = (
    _order("/runs/{run_id}/cancel", orders.cancel_run, orders.Cancelled, questions.CancelBody, questions.RunPath),
    _order("/pause", orders.pause, orders.Paused, questions.PauseBody),
    _order("/resume", orders.resume, orders.Paused, questions.PauseBody),
    _order("/dead/replay", orders.replay_dead, orders.Acted, questions.DeadBody),
    _order("/dead/discard", orders.discard_dead, orders.Acted, questions.DeadBody),
    _order("/limits/set", orders.set_limit, orders.LimitSet, questions.SetLimitBody),
    _order("/limits/clear", orders.clear_limit, orders.LimitSet, questions.LimitBody),
    _order("/breakers/close", orders.close_breaker, orders.BreakerClosed, questions.BreakerBody),
    _order("/workers/drain", orders.drain_worker, orders.Drained, questions.DrainBody),
)

ENDPOINTS = LOOKS + ORDERS
