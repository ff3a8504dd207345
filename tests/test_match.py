"The matcher's stages and the cascade: what is claimed, what is refused, and that nothing virtual ever gets a name."
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from urllib.parse import quote_plus

import numpy as np
import pytest
from PIL import Image
from threadpoolctl import threadpool_info

from warp.config import Config, write_atomic, write_json
from warp.data.crops import crop_phash
from warp.data.store import Store
from warp.errors import InputError, ModelError, StoreError
from warp.match import cascade as cascade_module
from warp.match.cascade import POLICIES, Cascade, best_evidence, products_alone, seeds, weighed
from warp.match.hashes import ALGORITHM, UNVERIFIED, HashStage, claims, is_flat
from warp.match.session import SessionStage, examples_of
from warp.match.templates import SHORTLIST, TemplateIndex, TemplateStage, best_names, colours, compare, compare_posed, icon_crop, picture_likeness, posed_likeness, shapes
from warp.records import VIRTUAL_NAMES, Box, Match

NAMES = ["Ablative Shell", "Console - Universal - A/B (100%)", "Größe +1", "Phaser Array", "Solanae Deflector Array", "Zebra?"]


def art(seed: int) -> Image.Image:
    "An icon as the host keeps it: 49x64 RGBA, something on it."
    coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 7, 3), dtype=np.uint8))
    icon = coarse.resize((49, 64), Image.Resampling.BICUBIC).convert("RGBA")
    icon.putpixel((0, 0), (0, 0, 0, 0))
    return icon


def moved(crop: np.ndarray, x: int, y: int) -> np.ndarray:
    "The crop of a box that lies `x`, `y` pixels off."
    return np.roll(crop, (y, x), (0, 1))


@pytest.fixture
def crops() -> np.ndarray:
    "A clean crop of every name."
    return np.stack([icon_crop(art(i)) for i in range(len(NAMES))])


@pytest.fixture
def images(tmp_path):
    "A host's icon folder."
    folder = tmp_path / "host" / "images"
    folder.mkdir(parents=True)
    for i, name in enumerate(NAMES): art(i).save(folder / f"{quote_plus(name)}.png")
    return folder


@pytest.fixture
def index(crops) -> TemplateIndex: return TemplateIndex.from_crops(NAMES, crops)


def some(n: int, names=None) -> list: return [None if names is None else frozenset(names)] * n


# hashes

def test_flat_means_no_channel_has_contrast():
    red = np.zeros((1, 64, 64, 3), np.uint8)
    red[..., 0] = 250  # three very different channels, each of them plain
    half = red.copy()
    half[:, :32, :, 0] = 0
    assert is_flat(red).tolist() == [True] and is_flat(half).tolist() == [False]
    assert is_flat(red[:0]).shape == (0,)


def test_claims_keep_collisions_and_drop_what_is_no_item():
    votes = {"a" * 16: {"Two": 5, "One": 5, "__empty__": 9}, "b" * 16: {"Three": 1}}
    record = {"knowledge": {"a" * 16: "One", "b" * 16: "__inactive__", "c" * 16: None}, "votes": votes}
    assert claims(record) == {"a" * 16: ("One", "Two"), "b" * 16: ("Three",)}
    with pytest.warns(UserWarning, match="rfft"): assert claims({"algorithm": "rfft2-64", "knowledge": {"a" * 16: "One"}}) == {}


def test_a_hit_is_a_claim(crops, index):
    def likeness(crop, name): return picture_likeness(index, crop, name)
    phash = crop_phash(Image.fromarray(crops[0]))
    lie, truth = HashStage({phash: NAMES[3]}, likeness), HashStage({phash: NAMES[0]}, likeness)
    assert not lie(crops[:1], some(1))[0].known and truth(crops[:1], some(1))[0].name == NAMES[0]
    assert truth(crops[:1], some(1))[0].score >= 0.85
    assert not truth(crops[:1], some(1, NAMES[1:]))[0].known  # the slot cannot hold it
    unseen = HashStage({phash: "Of Tomorrow"}, likeness)(crops[:1], some(1))[0]
    assert (unseen.name, unseen.score) == ("Of Tomorrow", UNVERIFIED)
    both = HashStage({"knowledge": {phash: NAMES[3]}, "votes": {phash: {NAMES[0]: 1, NAMES[3]: 8}}}, likeness)(crops[:1], some(1))[0]
    assert both.name == NAMES[0] and both.alternatives[0][0] == NAMES[0]


def test_poisoned_blank_icons_stay_nameless():
    blank = np.full((1, 64, 64, 3), 17, np.uint8)
    assert not HashStage({crop_phash(Image.fromarray(blank[0])): "Charged Particle Burst"})(blank, some(1))[0].known


def test_hash_table_from_file(tmp_path, crops):
    phash = crop_phash(Image.fromarray(crops[0]))
    assert len(HashStage.from_file(tmp_path / "none.json")) == 0
    write_json(tmp_path / "bare.json", {phash: NAMES[0]})
    write_json(tmp_path / "full.json", {"knowledge": {phash: NAMES[0]}, "algorithm": ALGORITHM, "fetched_at": 1.0})
    for file in ("bare.json", "full.json"): assert HashStage.from_file(tmp_path / file)(crops[:2], some(2))[0].name == NAMES[0]
    (tmp_path / "torn.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="torn.json"): HashStage.from_file(tmp_path / "torn.json")


# templates

def test_products_are_the_formulas(crops):
    def ccoeff(a, b):
        a, b = (x.reshape(-1, 3) - x.reshape(-1, 3).mean(0) for x in (a, b))
        return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    half = crops.reshape(-1, 32, 2, 32, 2, 3).astype(float).mean((2, 4))
    assert np.allclose(shapes(crops) @ shapes(crops).T, [[ccoeff(a, b) for b in half] for a in half], atol=1e-4)

    def histogram(crop):
        hsv = np.asarray(Image.fromarray(crop).convert("HSV")).reshape(-1, 3).astype(int)
        return np.bincount(hsv[:, 0] * 18 // 256 * 16 + hsv[:, 1] * 16 // 256, minlength=288)
    assert np.allclose(colours(crops) @ colours(crops).T, np.corrcoef([histogram(crop) for crop in crops]), atol=1e-4)


def test_a_picture_without_contrast_is_like_nothing(crops):
    flat = np.full((1, 64, 64, 3), 90, np.uint8)
    assert (shapes(flat) @ shapes(crops).T == 0).all()
    index = TemplateIndex.from_crops([*NAMES, "Grey Square"], np.concatenate([crops, flat]))
    assert "Grey Square" not in index.names and "Grey Square" in index.rejected[0]
    assert not TemplateStage(index)(flat, some(1))[0].known


def test_folder_survives_bad_files_and_odd_names(images):
    (images / "Torn.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 40)
    (images / "notes.txt").write_text("no icon", encoding="utf-8")
    Image.new("RGBA", (49, 64), (0, 0, 0, 0)).save(images / "Nothing+On+It.png")
    index = TemplateIndex.from_folder(images)
    assert sorted(index.names) == sorted(NAMES)
    assert len(index.rejected) == 2 and any("Torn.png" in why for why in index.rejected)


def test_cache_is_used_and_never_stale(images, tmp_path, crops):
    cache = tmp_path / "cache" / "templates.npz"
    first, again = TemplateIndex.from_folder(images, cache), TemplateIndex.from_folder(images, cache)
    assert again.names == first.names and (again.shapes == first.shapes).all() and (again.colours == first.colours).all()
    fresh = TemplateIndex.from_folder(images)
    assert (fresh.shapes == first.shapes).all()  # with and without a cache: the same numbers
    art(99).save(images / "Newcomer.png")
    assert "Newcomer" in TemplateIndex.from_folder(images, cache).names
    cache.write_bytes(cache.read_bytes()[:500])
    assert "Newcomer" in TemplateIndex.from_folder(images, cache).names


def test_empty_folder_says_what_to_do(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="WARP_HOST_DIR"): TemplateIndex.from_folder(folder)


def test_only_allowed_names_are_compared(index, crops):
    scores = compare(index, crops[:2], [frozenset(NAMES[1:3]), None])
    assert (scores[0, [0, 3, 4, 5]] == -1).all() and (scores[0, 1:3] >= 0).all() and (scores[1] >= 0).all()
    answers = TemplateStage(index)(crops[:2], [frozenset(NAMES[1:3]), None])
    assert answers[1].name == NAMES[1] and {name for name, _ in answers[0].alternatives} <= set(NAMES[1:3])
    assert TemplateStage(index)(crops[:1], [frozenset(["Of Tomorrow"])])[0] == Match(None, 0.0, "templates")
    assert TemplateStage(index)(crops[:0], []) == []


def test_poses_find_a_box_that_is_off(index, crops):
    off = np.stack([moved(crop, 4, -3) for crop in crops])
    one, posed = compare(index, off, some(6)), compare_posed(index, off, compare(index, off, some(6)))
    assert (np.diag(posed) > np.diag(one) + 0.1).all()
    assert [m.name for m in TemplateStage(index)(off, some(6))] == NAMES


def test_numpys_threads_are_put_back_by_the_last_who_leaves():
    def allowed() -> list[int]: return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]
    before, both, first_out = allowed(), Barrier(2), Event()

    def stay(last: bool) -> list[int]:
        with products_alone:
            both.wait(30)
            if last: assert first_out.wait(30)
            seen = allowed()
        first_out.set()
        return seen
    with ThreadPoolExecutor(2) as pool: seen = list(pool.map(stay, (False, True)))
    assert seen == [[1] * len(before)] * 2 and allowed() == before


def test_shortlist_and_single_questions(crops):
    rng = np.random.default_rng(3)
    many = np.stack([icon_crop(art(1000 + i)) for i in range(60)] + list(crops))
    index = TemplateIndex.from_crops([f"Item {i}" for i in range(60)] + NAMES, many)
    noisy = (crops + rng.normal(0, 20, crops.shape)).clip(0, 255).astype(np.uint8)
    scores = compare_posed(index, noisy, compare(index, noisy, some(6)))
    assert ((scores >= 0).sum(axis=1) <= SHORTLIST).all() and [index.names[i] for i in scores.argmax(1)] == NAMES
    assert picture_likeness(index, crops[0], NAMES[0]) > 0.99 and picture_likeness(index, crops[0], "Of Tomorrow") is None
    assert set(posed_likeness(index, crops[:2], [(NAMES[0], "Of Tomorrow"), ()])[0]) == {NAMES[0]}


def test_ranking_is_by_name_and_stable():
    assert best_names(np.array([0.5, 0.5, 0.4, -1.0]), ("B", "A", "B", "C")) == (("B", 0.5), ("A", 0.5))
    assert best_names(np.empty(0), ()) == ()
    scores = np.random.default_rng(0).random(500)
    assert [name for name, _ in best_names(scores, tuple(map(str, range(500))))] == [str(i) for i in np.argsort(-scores)[:5]]


# session

def test_session_remembers_replaces_and_forgets(crops):
    stage = SessionStage(crops[:2], NAMES[:2])
    assert [m.name for m in stage(crops[:3], some(3))][:2] == NAMES[:2]
    assert stage.add("note", crops[2], NAMES[2], "community") and stage.origin("note") == "community"
    assert stage(crops[2:3], some(1))[0].name == NAMES[2]
    stage.add("note", crops[2], NAMES[3])
    assert len(stage) == 3 and stage(crops[2:3], some(1))[0].name == NAMES[3] and stage.origin("note") == "user"
    assert stage.remove("note") and not stage.remove("note")
    assert stage(crops[2:3], some(1))[0].name not in (NAMES[2], NAMES[3])
    assert not stage(crops[:1], some(1, NAMES[3:]))[0].known
    empty = SessionStage()
    assert empty(crops[:1], some(1)) == [Match(None, 0.0, "session")] and not empty.remove("note")


def test_session_knows_empty_slots_without_naming_them(crops):
    stage = SessionStage(crops[:1], ["__empty__"])
    answer = stage(crops[:1], some(1, NAMES))[0]
    assert answer.name is None and answer.alternatives[0] == ("__empty__", answer.score) and answer.score > 0.9
    assert not stage.add("flat", np.full((64, 64, 3), 9, np.uint8), "__empty__")


def test_examples_come_from_confirmed_icons_only(tmp_path, crops):
    shot = Image.new("RGB", (400, 200), "#0b1420")
    for i in range(3): shot.paste(Image.fromarray(crops[i]), (10 + 100 * i, 20))
    shot.save(tmp_path / "shot.png")
    with Store(tmp_path / "data") as store:
        sha = store.add(tmp_path / "shot.png")
        notes = [store.confirm(sha, Box(10 + 100 * i, 20, 64, 64), "Devices", NAMES[i], i) for i in range(3)]
        store.confirm(sha, Box(5, 150, 120, 20), "Ship Name")
        store.confirm(sha, Box(5, 175, 120, 20), "Ship Tier", "T6-X2")
        store.withdraw(sha, notes[0].id)
        stage, few = examples_of(store), examples_of(store, most=1)
    assert sorted(stage.index.names) == sorted(NAMES[1:3]) and len(few) == 1
    assert stage.remove(notes[1].id) and stage.index.names == (NAMES[2],)


# cascade

class Told:
    "A stage that answers what it was told to and remembers how many crops it was asked about."

    def __init__(self, *answers: Match): self.answers, self.asked = list(answers), 0

    def __call__(self, crops, allowed):
        self.asked += len(crops)
        return (self.answers * len(crops))[:len(crops)]


def said(name, score, by, *others): return Match(name, score, by, ((name, score), *others))


def test_seeds_ask_in_their_order(crops):
    one, any_name = crops[:1], some(1)
    nothing = Match(None, 0.0, "hashes")
    template, model, session = Told(said("T", 0.6, "templates")), Told(said("M", 0.9, "model")), Told(said("S", 0.9, "session"))
    answer = seeds({"hashes": Told(said("H", 0.9, "hashes")), "templates": template, "model": model, "session": session}, one, any_name)[0]
    assert (answer.name, answer.by, template.asked, model.asked) == ("H", "hashes", 0, 0)
    stages = {"hashes": Told(nothing), "templates": template, "model": model, "session": session}
    answer = seeds(stages, one, any_name)[0]
    assert (answer.name, answer.by, answer.score, session.asked) == ("M", "model", 0.78, 0)  # 0.4 * 0.6 + 0.6 * 0.9
    stages["templates"] = Told(said("T", 0.8, "templates"))
    model.asked = 0
    assert seeds(stages, one, any_name)[0].name == "T" and model.asked == 0
    stages |= {"templates": Told(said("T", 0.5, "templates")), "model": Told(said("M", 0.3, "model"))}
    assert seeds(stages, one, any_name)[0].name == "S" and session.asked == 1
    stages["session"] = Told(Match(None, 0.3, "session"))
    assert seeds(stages, one, any_name)[0].name == "T"
    assert not seeds({"templates": Told(said("T", 0.39, "templates"))}, one, any_name)[0].known


def test_the_sure_model_is_not_questioned(crops, index):
    session, hashes = Told(said("S", 0.99, "session")), Told(said("H", 0.9, "hashes"))
    sure = {"model": Told(said(NAMES[1], 0.97, "model")), "templates": TemplateStage(index), "session": session, "hashes": hashes}
    answer = best_evidence(sure, crops[:1], some(1))[0]
    assert (answer.name, answer.by, session.asked, hashes.asked) == (NAMES[1], "model", 0, 0)


def test_pictures_break_a_tie_and_memory_speaks_last(crops, index):
    torn = Told(said(NAMES[1], 0.45, "model", (NAMES[0], 0.40)))
    answer = best_evidence({"model": torn, "templates": TemplateStage(index)}, crops[:1], some(1))[0]
    assert (answer.name, answer.by) == (NAMES[0], "templates") and answer.alternatives[1][0] == NAMES[1]
    assert sum(share for _, share in answer.alternatives) <= 1.001
    answer = best_evidence({"model": torn, "session": Told(said("S", 0.97, "session"))}, crops[:1], some(1))[0]
    assert (answer.name, answer.by) == ("S", "session")
    lost = Told(Match(None, 0.2, "model", ((NAMES[1], 0.2),)))
    answer = best_evidence({"model": lost, "hashes": Told(said("H", 0.95, "hashes"))}, crops[:1], some(1))[0]
    assert (answer.name, answer.by, answer.score) == ("H", "hashes", 0.74)


def test_an_item_of_this_morning_is_found_by_its_picture(crops, index):
    lost = Told(Match(None, 0.2, "model", ((NAMES[1], 0.2),)))
    answer = best_evidence({"model": lost, "templates": TemplateStage(index)}, crops[:1], some(1))[0]
    assert (answer.name, answer.by) == (NAMES[0], "templates") and answer.score > 0.8 and answer.alternatives[0] == (NAMES[0], answer.score)
    twins = TemplateIndex.from_crops([*NAMES, "Its Twin"], np.concatenate([crops, crops[:1]]))
    assert not best_evidence({"model": lost, "templates": TemplateStage(twins)}, crops[:1], some(1))[0].known
    empty = Told(Match(None, 0.9, "model", (("__empty__", 0.9),)))
    assert not best_evidence({"model": empty, "templates": TemplateStage(index)}, crops[:1], some(1))[0].known


def test_what_a_likeness_is_worth():
    torn = said("A", 0.5, "model", ("B", 0.3))
    nothing = Match("A", 0.9, "model", (("A", 0.9), ("B", 0.0)))
    assert weighed(nothing, {"A": 0.2, "C": 0.9}, 0.05).alternatives[0][0] == "C", "a share that was rounded to nothing silences no picture"
    assert weighed(torn, {}) == torn, "without pictures nothing changes"
    assert dict(weighed(torn, {"A": 0.7, "B": 0.7}).alternatives)["A"] > 0.5 and weighed(torn, {"A": 0.7, "B": 0.73}).alternatives[0][0] == "B"
    assert weighed(torn, {"A": 0.2, "B": 0.2}).alternatives == torn.alternatives, "pictures that are all unlike say nothing"
    assert weighed(torn, {"A": 0.6, "C": 0.7}).alternatives[0][0] == "C" and weighed(torn, {"A": 0.7, "C": 0.7}).alternatives[0][0] == "A", "a name that was not among the five may win, but no tie"
    alone = weighed(Match(None, 0.0, "cascade"), {"A": 0.9, "B": 0.5})
    assert alone.by == "templates" and 0.9 < alone.score < 0.96, "pictures alone are never quite sure"
    bare = said("__empty__", 0.9, "model", ("A", 0.05))
    assert weighed(bare, {"A": 1.0}).alternatives[0][0] == weighed(bare, {"A": 0.5}).alternatives[0][0] == "__empty__"


@pytest.mark.parametrize("trust", [1.0, 0.6, 0.2])
def test_shares_stay_shares_and_a_little_trusted_model_says_little(trust):
    told = said("A", 0.8, "model", ("B", 0.1))
    match = weighed(told, {"A": 0.7, "B": 0.71}, trust)
    assert sum(share for _, share in match.alternatives) <= 1.001 and (match.alternatives[0][0] == "B") == (trust < 1)


def test_first_day_without_a_model(crops, index):
    blank = np.full((1, 64, 64, 3), 9, np.uint8)
    answers = Cascade({"templates": TemplateStage(index)}).match(np.concatenate([crops, blank]))
    assert [m.name for m in answers] == [*NAMES, None] and answers[-1].by == "cascade"
    assert Cascade({}).match(crops[:1]) == [Match(None, 0.0, "cascade")]


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_nothing_virtual_is_ever_named(policy, crops, index):
    rng = np.random.default_rng(8)
    for _ in range(40):
        def random(by):
            few = [(str(rng.choice([*NAMES, *VIRTUAL_NAMES])), round(float(rng.random()), 3)) for _ in range(3)]
            few.sort(key=lambda pair: -pair[1])
            return Match(few[0][0] if few[0][0] not in VIRTUAL_NAMES and few[0][1] > 0.4 else None, few[0][1], by, tuple(dict(reversed(few)).items()))
        stages = {by: Told(random(by), random(by)) for by in ("hashes", "model", "session") if rng.random() < 0.8} | {"templates": TemplateStage(index)}
        for answer in Cascade(stages, policy).match(crops[:4]):
            assert answer.name not in VIRTUAL_NAMES and 0 <= answer.score <= 1


def test_bad_input_is_said(crops, index):
    cascade = Cascade({"templates": TemplateStage(index)})
    with pytest.raises(InputError, match="from crops_array"): cascade.match(crops.astype(np.float32))
    with pytest.raises(InputError, match="2 sets of names"): cascade.match(crops[:1], some(2))
    with pytest.raises(InputError, match="default, seeds"): Cascade({}, "fastest")
    with pytest.raises(InputError, match="no stage 'models'"): Cascade({"models": TemplateStage(index)})
    with pytest.raises(InputError, match="Cascade.open"): cascade.reload()


# what is installed

def install(config: Config, serial: int, colour_names: dict[str, tuple[int, int, int]]) -> None:
    "A published set whose network averages colours."
    onnx = pytest.importorskip("onnx")
    from warp.match.model import EMBEDDER_FILES, Gallery, file_sha256, save_gallery
    make, folder = onnx.helper, config.models / "sets" / str(serial)
    folder.mkdir(parents=True)
    nodes = [make.make_node("Cast", ["crops"], ["x"], to=onnx.TensorProto.FLOAT), make.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2], keepdims=0),
             make.make_node("Sub", ["m", "grey"], ["d"]), make.make_node("LpNormalization", ["d"], ["vectors"], axis=1, p=2)]
    value, proto = make.make_tensor_value_info, onnx.TensorProto
    ends = [value("crops", proto.UINT8, ["n", 64, 64, 3])], [value("vectors", proto.FLOAT, ["n", 3])]
    graph = make.make_graph(nodes, "colours", *ends, [make.make_tensor("grey", onnx.TensorProto.FLOAT, [1], [90.0])])
    (folder / EMBEDDER_FILES[0]).write_bytes(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9).SerializeToString())
    save_gallery(Gallery(list(colour_names), np.array(list(colour_names.values()), np.float32) - 90, ["crops"] * len(colour_names)), folder / EMBEDDER_FILES[1])
    files = {name: file_sha256(folder / name) for name in EMBEDDER_FILES[:2]}
    write_json(folder / EMBEDDER_FILES[2], {"n_names": len(colour_names), "temperature": 0.06, "unknown_cosine": 0.5, "min_score": 0.2, "files": files,
                                                  "metrics": {"in_slot": {"n": 100, "accuracy": 0.95}}})
    write_json(folder / "model_version.json", {"serial": serial})
    write_atomic(config.models / "current", str(serial))


@pytest.fixture
def config(tmp_path, images) -> Config: return Config(tmp_path / "home", str(tmp_path / "hub"), host_dir=images.parent)


def painted(colour: tuple[int, int, int]) -> np.ndarray:
    return (np.array(colour) + np.random.default_rng(1).normal(0, 20, (1, 64, 64, 3))).clip(0, 255).astype(np.uint8)


def test_nothing_installed_warns_and_answers(tmp_path, crops):
    with pytest.warns(UserWarning, match="warp update"): cascade = Cascade.open(Config(tmp_path / "home", "hub"))
    assert not cascade.match(crops[:1])[0].known


def test_a_new_model_is_taken_up_at_the_next_match(config):
    cascade = Cascade.open(config, session=SessionStage())
    red, loads = painted((220, 40, 40)), []
    assert sorted(cascade.stages) == ["session", "templates"]
    install(config, 1, {"Red Thing": (220, 40, 40), "Blue Thing": (40, 40, 220)})
    assert cascade.match(red)[0].name == "Red Thing" and cascade.match(red)[0].by == "model"
    install(config, 2, {"Crimson Thing": (220, 40, 40), "Blue Thing": (40, 40, 220)})
    assert cascade.match(red)[0].name == "Crimson Thing" and "session" in cascade.stages
    original = cascade_module.load_stages
    cascade_module.load_stages = lambda *a: loads.append(1) or original(*a)
    try: cascade.match(red), cascade.match(red)
    finally: cascade_module.load_stages = original
    assert not loads  # nothing new, nothing loaded


def test_a_damaged_model_never_stops_a_reading(config):
    install(config, 1, {"Red Thing": (220, 40, 40), "Blue Thing": (40, 40, 220)})
    cascade, red = Cascade.open(config), painted((220, 40, 40))
    install(config, 2, {"Crimson Thing": (220, 40, 40)})
    gallery = config.models / "sets" / "2" / "icon_gallery.npz"
    gallery.write_bytes(b"<html>404</html>")
    with pytest.warns(UserWarning, match="the old stays"): assert cascade.match(red)[0].name == "Red Thing"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cascade.match(red)[0].name == "Red Thing"  # said once
    with pytest.raises(ModelError): Cascade.open(config)


def test_new_knowledge_is_taken_up(config, crops):
    cascade = Cascade.open(config, "seeds")
    write_json(config.knowledge / "knowledge_cache.json", {"knowledge": {crop_phash(Image.fromarray(crops[0])): NAMES[0]}, "algorithm": ALGORITHM})
    assert cascade.match(crops[:1])[0].by == "hashes"
    assert json.loads((config.knowledge / "knowledge_cache.json").read_text(encoding="utf-8"))["algorithm"] == ALGORITHM
