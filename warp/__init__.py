"""Screenshots of Star Trek Online builds in, named items out; trained by its players, one install, one vote."""

__version__ = "0.1.0"
