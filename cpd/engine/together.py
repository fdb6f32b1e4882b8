"""What all ranks decide together, so that none waits for one that has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.engine import distributed, runlock

if TYPE_CHECKING:
    from cpd.engine.distributed import World


def check_lock(world: World) -> None:
    """`runlock.check` before something is written; the first rank looks, and all leave when it has lost the lock.

    Raises:
        Lost: another process took it.
    """
    told = distributed.gather_objects(runlock.lost() if world.first else "", world)[0]
    if told:
        raise runlock.Lost(told)
