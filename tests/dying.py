"""Runs one act in processes that kill themselves, one at each step of what it writes. Run by test_update and test_release; has no tests of its own.

    python tests/dying.py update|rollback|publish HUB HOME OUT [STEP]

For step 1, 2, 3 … (every third, where the act's core is tested elsewhere) it copies HUB and HOME to OUT/<step>, starts the act there and dies with signal 9
just before that change to the disk, until a process gets through alive. With STEP it does only that one, in this very process. It forks, so the whole
series needs a POSIX system; a single step runs everywhere.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from warp.config import Config
from warp.hub import FolderHub
from warp.release.update import update

NOW = 1_795_176_000.0


def act(name: str, hub: Path, home: Path) -> None:
    config = Config(home, str(hub))
    if name == "publish":
        from warp.release.publish import publish
        publish(FolderHub(hub), config, home / "trained")
    else:
        update(config, FolderHub(hub), rollback=name == "rollback", now=NOW, smoke=lambda folder: None)


def die_at(step: int, below: Path) -> None:
    "From here on, the process ends just before its `step`-th change to anything below a folder."
    left = [step]

    def hook(event: str, args: tuple) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        changes = writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
        if not changes or not str(args[0]).startswith(str(below)): return
        left[0] -= 1
        if left[0] == 0:
            if hasattr(signal, "SIGKILL"): os.kill(os.getpid(), signal.SIGKILL)
            os._exit(9)

    sys.addaudithook(hook)


def copies(hub: Path, home: Path, out: Path, step: int) -> tuple[Path, Path]:
    "A hub and a home of its own for one step."
    return shutil.copytree(hub, out / str(step) / "hub"), shutil.copytree(home, out / str(step) / "home")


def main(name: str, hub: str, home: str, out: str, step: str = "") -> None:
    if step:
        places = copies(Path(hub), Path(home), Path(out), int(step))
        die_at(int(step), Path(out))
        return act(name, *places)
    if name == "publish": import torch  # noqa: F401  # once, before forking
    for step in range(1, 1000, 1 if name == "update" else 3):
        places = copies(Path(hub), Path(home), Path(out), step)
        child = os.fork()
        if child == 0:
            die_at(step, Path(out))
            act(name, *places)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0: break


if __name__ == "__main__": main(*sys.argv[1:])
