"""What every endpoint shares: errors become answers, futures and blocking calls are awaited."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from engine.errors import EngineError, Stopping
from engine.http.errors import ErrorAnswer, UnexpectedFault, plain_answer

__all__ = ["Endpoint", "blocking", "guarded", "result_for", "result_of"]

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


def guarded(endpoint: Endpoint, answer: ErrorAnswer = plain_answer) -> Endpoint:
    """Return the endpoint with its errors turned into answers of its family."""

    async def answering(request: Request) -> Response:
        try:
            return await endpoint(request)
        except EngineError as error:
            return answer(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is left to read it
        except Exception:
            log.exception("request failed", extra={"path": request.url.path})
            return answer(UnexpectedFault())

    return answering


async def result_of(future: Future[T]) -> T:
    """Await a service's future.

    Raises:
        Stopping: the service gave the future up.
    """
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if future.cancelled() and task is not None and not task.cancelling():
            raise Stopping from None
        raise


async def result_for(request: Request, future: Future[T]) -> T:
    """Await a service's future for a client whose body is read; who leaves takes his place along.

    Raises:
        Stopping: the service gave the future up.
        ClientDisconnect: the client went away; the future is cancelled if that can be.
    """
    result = asyncio.wrap_future(future)
    leaving = asyncio.ensure_future(request.receive())  # nothing else can come after the body
    try:
        await asyncio.wait((result, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientDisconnect
        if result.cancelled():
            raise Stopping
        return result.result()
    finally:
        leaving.cancel()
        result.cancel()


async def blocking(call: Callable[[], T]) -> T:
    """Run a call that blocks in the loop's default executor."""
    return await asyncio.get_running_loop().run_in_executor(None, call)
