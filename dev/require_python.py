"Stop with a sentence, before anything is installed, where Python is too old. (Runs on any Python, so it is written for any.)"
import sys

if sys.version_info < (3, 11):
    sys.exit("Python %d.%d at %s is too old: warp needs 3.11 or newer. Install one and say `make PYTHON=python3.12 ...`"
             % (sys.version_info[0], sys.version_info[1], sys.executable))
