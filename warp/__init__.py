"""Screenshots of Star Trek Online builds in, named items out; trained by its players, one install, one vote.

The names below are what an app needs; everything else is imported from its own room (`from warp.knowledge.votes import decide`). They load when first used: `import warp` alone costs
next to nothing.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {"Box": "warp.records", "Build": "warp.read.build", "Config": "warp.config", "Match": "warp.records", "Reader": "warp.read.build", "Store": "warp.data.store",
          "WarpError": "warp.errors", "open_hub": "warp.hub", "read_build": "warp.read.build", "update": "warp.release.update"}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES: raise AttributeError(f"module 'warp' has no attribute {name!r}: expected one of {', '.join(__all__)}, or a submodule")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]: return [*__all__, "__version__"]
