"""The entry point of the plugin folder; it stands there as `__init__.py`.

The trigger's arguments name the attack and describe the world.
"""

from __future__ import annotations

import builtins
import json
import traceback

from . import (  # noqa: F401  each enters its attacks into the table
    bombs,
    endings,
    files,
    floods,
    impersonation,
    network,
    persistence,
    privileges,
    processes,
    secrets,
    shm,
    syscalls,
    trees,
)
from .catalog import ATTACKS, Local, World

# What Python says when the kernel gives no thread.
_NO_THREAD = "can't start new thread"


def process_request(
    influxdb3_local: Local,
    query_parameters: dict[str, str],
    request_headers: dict[str, str],
    request_body: bytes,
    args: dict[str, str] | None = None,
) -> dict[str, object]:
    """Run the attack of this trigger and tell how it went."""
    assert args is not None
    if "probe" in query_parameters:
        return {"planted": getattr(builtins, "escape_planted", None)}
    attack = ATTACKS[args["attack"]]
    world = World(**json.loads(args["world"]))
    try:
        how = attack.run(world, influxdb3_local)
    except (OSError, MemoryError) as refusal:
        return {"escaped": False, "how": repr(refusal)}
    except RuntimeError as refusal:
        if _NO_THREAD not in str(refusal):
            raise
        return {"escaped": False, "how": repr(refusal)}
    except Exception:  # noqa: BLE001  a mistake in the attack must not pass for safety
        return {"escaped": False, "how": "broken: " + traceback.format_exc()}
    return {"escaped": how is not None, "how": how or "nothing came of it"}
