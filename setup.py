"Package metadata lives in settings.ini; the version lives in warp/__init__.py."
import re
import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).parent
ini = ConfigParser(delimiters=["="], interpolation=None)
ini.read(root / "settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
version = re.search(r'^__version__ = "(.+)"', (root / "warp/__init__.py").read_text(encoding="utf-8"), re.M)[1]


def lines(key: str) -> list[str]:
    "One requirement a line, as settings.ini writes them."
    return [line.strip() for line in cfg.get(key, "").splitlines() if line.strip()]


class WithDesks(build_py):
    "The desk notebooks go along into the wheel, as warp/static/desks."

    def run(self) -> None:
        super().run()
        if not self.editable_mode: shutil.copytree(root / "nbs/desks", Path(self.build_lib) / "warp/static/desks", dirs_exist_ok=True, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))


setup(
    cmdclass={"build_py": WithDesks},
    name=cfg["lib_name"], version=version, description=cfg["description"],
    author=cfg["author"], author_email=cfg["author_email"], license_expression=cfg["license"],
    keywords=cfg["keywords"].split(), url=cfg["git_url"], project_urls={"Documentation": cfg["doc_url"]},
    classifiers=["Programming Language :: Python :: 3", "Framework :: Jupyter", "Topic :: Scientific/Engineering :: Image Recognition"],
    long_description=(root / "README.md").read_text(encoding="utf-8"), long_description_content_type="text/markdown",
    packages=find_packages(include=["warp", "warp.*"]), include_package_data=True, zip_safe=False,
    install_requires=lines("requirements"),
    extras_require={key.removesuffix("_requirements"): lines(key) for key in cfg if key.endswith("_requirements")},
    entry_points={"console_scripts": lines("console_scripts"), "nbdev": ["warp=warp._modidx:d"]},
)
