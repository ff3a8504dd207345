"""Runs one act in processes that kill themselves, one at each step of what it writes. Run by test_update and test_release; has no tests of its own.

    python tests/dying.py update|rollback|publish|full HUB HOME OUT [STEP]

For step 1, 2, 3 … (every third, where the act's core is tested elsewhere) it copies HUB and HOME to OUT/<step>, starts the act there and dies with signal 9
just before that change to the disk, until a process gets through alive. With STEP it does only that one, in this very process. It forks, so the whole
series needs a POSIX system; a single step runs everywhere. `full` is an update whose process lives on: from its n-th change to the disk nothing can be written
any more, and whatever is raised then must be a `WarpError`, or the process ends with 1.
"""

import errno
import os
import shutil
import signal
import sys
from pathlib import Path

from warp.config import Config
from warp.errors import WarpError
from warp.hub import FolderHub
from warp.release.update import update

STRUCK = 3  # how a process ends that lived on with a full disk
NOW = 1_795_176_000.0


def act(name: str, hub: Path, home: Path) -> None:
    config = Config(home, str(hub))
    if name == "publish":
        from warp.release.publish import publish
        publish(FolderHub(hub), config, home / "trained")
    else:
        try: update(config, FolderHub(hub), rollback=name == "rollback", now=NOW, smoke=lambda folder: None)
        except WarpError:
            if name != "full": raise


def die_at(step: int, below: Path, full: bool = False) -> list[int]:
    "From here on, the process ends just before its `step`-th change to anything below a folder; or, `full`, nothing can be written from there on. Returns the changes left."
    left = [step]

    def hook(event: str, args: tuple) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        changes = writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
        if not changes or not str(args[0]).startswith(str(below)): return
        left[0] -= 1
        if full:
            if left[0] <= 0 and event in ("open", "os.mkdir"): raise OSError(errno.ENOSPC, "No space left on device", args[0])  # names can be changed on a full disk
        elif left[0] == 0:
            if hasattr(signal, "SIGKILL"): os.kill(os.getpid(), signal.SIGKILL)
            os._exit(9)

    sys.addaudithook(hook)
    return left


def copies(hub: Path, home: Path, out: Path, step: int) -> tuple[Path, Path]:
    "A hub and a home of its own for one step."
    return shutil.copytree(hub, out / str(step) / "hub"), shutil.copytree(home, out / str(step) / "home")


def main(name: str, hub: str, home: str, out: str, step: str = "") -> None:
    if step:
        places = copies(Path(hub), Path(home), Path(out), int(step))
        die_at(int(step), Path(out), name == "full")
        return act(name, *places)
    if name == "publish": import torch  # noqa: F401  # once, before forking
    for step in range(1, 1000, {"update": 1, "full": 2}.get(name, 3)):
        places = copies(Path(hub), Path(home), Path(out), step)
        child = os.fork()
        if child == 0:
            left, code = die_at(step, Path(out), name == "full"), 1
            try:
                act(name, *places)
                code = STRUCK if name == "full" and left[0] <= 0 else 0
            finally: os._exit(code)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if name == "full" and ended == 1: sys.exit(f"something else than a WarpError came out of step {step}")
        if ended == 0: break


if __name__ == "__main__": main(*sys.argv[1:])
