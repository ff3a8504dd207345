"A picture in a notebook's outputs is kept once: Pillow shows itself as PNG and as JPEG, and the smaller one will do. Usage: dev/lighten.py nbs/a.ipynb ..."
import sys
from pathlib import Path

import nbformat

for file in map(Path, sys.argv[1:]):
    nb = nbformat.read(file, as_version=4)
    shown = [out.data for cell in nb.cells for out in cell.get("outputs", ()) if {"image/png", "image/jpeg"} <= out.get("data", {}).keys()]
    for data in shown: del data[max("image/png", "image/jpeg", key=lambda kind: len(data[kind]))]
    if shown: file.write_text(nbformat.writes(nb) + "\n", encoding="utf-8")
