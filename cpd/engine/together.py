"""What all ranks decide together, so that none waits for one that has left."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from cpd.engine import distributed, runlock
from cpd.engine.signals import Requeue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from cpd.engine.distributed import World

T = TypeVar("T")


@contextmanager
def held(folder: Path, *, stop: Callable[[], str], world: World) -> Iterator[None]:
    """`runlock.held` for all ranks: the first one waits for the lock, the others for the first.

    Raises:
        Requeue: `stop` gave the first rank a reason while it waited.
    """
    with ExitStack() as stack:
        reason = ""
        try:
            if world.first:
                stack.enter_context(runlock.held(folder, stop=stop))
        except Requeue:
            reason = stop()
        reason = distributed.gather_objects(reason, world)[0]
        if reason:
            raise Requeue(reason)
        yield


def check_lock(world: World) -> None:
    """`runlock.check` before something is written; the first rank looks, and all leave when it has lost the lock.

    Raises:
        Lost: another process took it.
    """
    told = distributed.gather_objects(runlock.lost() if world.first else "", world)[0]
    if told:
        raise runlock.Lost(told)


def leave_if_asked(stop: Callable[[], str], world: World) -> None:
    """Stop on all ranks when one of them was asked to; what was done so far must be on disk.

    Raises:
        Requeue: `stop` gave a reason on some rank.
    """
    reason = stop()
    if distributed.sum_values([bool(reason)], world)[0]:
        raise Requeue(reason or "another rank's signal")


def stoppable(items: Iterable[T], turns: int, *, stop: Callable[[], str], world: World) -> Iterator[T]:
    """The items of this rank, one a turn; before each turn all ranks ask each other whether to stop.

    Args:
        items: of this rank.
        turns: how many items the rank has that has most; equal on every rank.
        stop: for a reason to stop, "" for none.
        world: which rank this is.

    Raises:
        Requeue: `stop` gave a reason on some rank.
    """
    waiting = iter(items)
    for _ in range(turns):
        leave_if_asked(stop, world)
        yield from islice(waiting, 1)
    yield from waiting  # none, unless the items are not what the caller took them for
