"The command: every verb explains itself, every error is one line."
import pytest

from warp.cli import clashes, main

VERBS = ("demo", "lab", "add", "import", "export", "sync", "votes", "merge", "train", "publish", "update", "read", "serve")


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb, capsys):
    with pytest.raises(SystemExit) as stop: main([verb, "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0 and f"usage: warp {verb}" in said and "example: warp" in said


def test_version(capsys):
    from warp import __version__
    with pytest.raises(SystemExit): main(["--version"])
    assert capsys.readouterr().out == f"warp {__version__}\n"


@pytest.mark.parametrize("words, remedy", [
    (["read", "nowhere.png"], "run `warp update`"),
    (["publish", "."], "run.json"),
    (["votes", "--hub", "s3://bucket"], "set WARP_HUB"),
    (["update", "--rollback"], "nothing to go back to"),
    (["sync"], "put a token into"),
    (["votes", "show", "3f9c"], "no crops that were voted on begin with '3f9c'"),
    (["merge", "--trust", "wisdom"], "expected some of slot_first"),
])
def test_errors_are_one_line(words, remedy, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARP_HUB", "hf://" if words == ["sync"] else str(tmp_path / "hub"))
    assert main([*words, "--home", str(tmp_path / "home")]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("warp: ") and remedy in said.err and "Traceback" not in said.err


def test_an_empty_hub_is_no_crash(tmp_path, capsys):
    assert main(["update", "--hub", str(tmp_path / "hub"), "--home", str(tmp_path / "home")]) == 0
    assert main(["votes", "--hub", str(tmp_path / "hub"), "--home", str(tmp_path / "home")]) in (0, 1)


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def interrupted(*_, **__): raise KeyboardInterrupt
    monkeypatch.setattr("warp.loop.demo", interrupted)
    assert main(["demo"]) == 130 and "go on" in capsys.readouterr().err


def test_clashing_distributions_are_named(monkeypatch):
    monkeypatch.setattr("warp.cli.version", lambda name: "1.10" if name == "warp-lang" else (_ for _ in ()).throw(__import__("importlib.metadata").metadata.PackageNotFoundError(name)))
    assert clashes() == ["warp-lang 1.10"]


def test_merge_and_one_crop_explained(tmp_path, capsys):
    from dying_merge import CROPS, DATA, NAMES, fill
    from warp.hub import FolderHub
    hub, places = FolderHub(tmp_path / "hub"), ["--hub", str(tmp_path / "hub"), "--home", str(tmp_path / "home")]
    fill(hub)
    before = hub.head(DATA)
    assert main(["merge", *places]) == 0 and hub.head(DATA) == before and "a dry run, nothing was changed" in capsys.readouterr().out
    assert main(["merge", "--apply", "--trust", "quarantine", *places]) == 0 and hub.head(DATA) != before and ": 1 commit\n" in capsys.readouterr().out
    assert main(["votes", "show", CROPS[10].sha256[:8], "--picture", str(tmp_path / "ballot.png"), *places]) == 0
    said = capsys.readouterr().out
    assert f"**{NAMES[2]}**" in said and f"relabel {NAMES[7]} (seen in the game)" in said and (tmp_path / "ballot.png").read_bytes().startswith(b"\x89PNG")
    assert main(["votes", "show", "", *places]) == 1 and main(["votes", *places]) == 0 and "17 icon crops decided" in capsys.readouterr().out
