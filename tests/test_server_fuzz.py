"""The server against machines: every promise of its OpenAPI schema tried by schemathesis, and thousands of requests that no honest client sends."""

import asyncio
import copy
import json
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis")
from schemathesis.config import ChecksConfig, GenerationConfig, HealthCheck, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from test_intake import BAD_PNG, GRID, LINE, ME, PLAIN, SHOT, b64, crop_item, said

from warp.data.sync import thumbnail
from warp.hub import MemoryHub
from warp.server import Settings, create_app
from warp.throttle import MAX_BODY

REPO, DATA, SEED = "sets-sto/warp-knowledge", "sets-sto/sto-icon-dataset", 20261120
OPEN = dict(group_s=0.0, soon_s=0.0, per_address=10 ** 9, per_install=10 ** 9, admin_key="s3cret", webhook_secret="hush")
KEYS = {"/admin/merge": {"X-Admin-Key": "s3cret"}, "/webhooks/hf-dataset": {"X-Webhook-Secret": "hush"}}


# what the schema promises

def endless(app: Callable) -> Callable:
    "The app without a beginning and an end: schemathesis would start and end it with every call."
    async def called(scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "lifespan": return await app(scope, receive, send)
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})
    return called


def api_schema(examples: int) -> schemathesis.BaseSchema:
    "The schema of a server with an empty hub, to be tried with so many made requests a route, beside those that cover it."
    made = GenerationConfig(max_examples=examples, deterministic=True, database="none")
    checks = ChecksConfig.from_dict({"negative_data_rejection": {"expected_statuses": ["4xx"]}})  # a 413 is a refusal too
    project = ProjectConfig(generation=made, checks=checks)
    config = SchemathesisConfig(seed=SEED, suppress_health_check=[HealthCheck.all], projects=ProjectsConfig(default=project))
    return schemathesis.openapi.from_asgi("/openapi.json", endless(create_app(MemoryHub(), Settings("memory", REPO, **OPEN))), config=config)


def with_pictures(body: dict) -> dict:
    "What is made of letters alone is never a picture: the same body with a good or a bad one."
    body, luck = copy.deepcopy(body), zlib.crc32(repr(body).encode("utf-8", "backslashreplace"))
    for item in body.get("items") if isinstance(body.get("items"), list) else [body]:
        if not isinstance(item, dict): continue
        png = PLAIN if luck % 2 else list(BAD_PNG.values())[luck % len(BAD_PNG)]
        for name in {"crop_png_b64", "png_b64"} & item.keys(): item[name] = b64(png)
        if isinstance(item.get("name"), str): item |= {"slot": "Boff Science", "name": "Gravity Well"}
        if "item_name" in item: item["item_name"] = "Gravity Well"
    return body


def check(case: schemathesis.Case) -> None:
    "Nothing is the server's fault, and every answer is as it is documented. (A body may have the right shape and yet hold no picture, so that is no fault.)"
    told = {"excluded_checks": [positive_data_acceptance]}
    case.call_and_validate(**told)
    if case.method != "POST": return
    if case.path in KEYS: case.call_and_validate(headers=KEYS[case.path], **told)
    if isinstance(case.body, dict) and case.media_type == "application/json":
        case.operation.Case(body=with_pictures(case.body), media_type=case.media_type).call_and_validate(**told)


@api_schema(30).parametrize()
def test_every_answer_is_as_the_schema_says(case): check(case)


@pytest.mark.long
@api_schema(300).parametrize()
def test_every_answer_is_as_the_schema_says_at_length(case): check(case)


# what no honest client sends

class Door:
    "The app in this process, called as a web server calls it: no socket, no client library that would mend what is broken."

    def __init__(self, **settings: object):
        self.hub = MemoryHub()
        self._app, self._runner = create_app(self.hub, Settings("memory", REPO, **OPEN | settings)), asyncio.Runner()

    def ask(self, method: str, path: str, parts: list[bytes] = (), headers: list[tuple[bytes, bytes]] = (), query: bytes = b"") -> tuple[int, dict, bytes]:
        "Status, headers and body of the answer."
        return self._runner.run(self._ask(method, path, list(parts) or [b""], list(headers), query))

    async def _ask(self, method: str, path: str, parts: list[bytes], headers: list[tuple[bytes, bytes]], query: bytes) -> tuple[int, dict, bytes]:
        sent, waiting = [], [{"type": "http.request", "body": part, "more_body": i < len(parts) - 1} for i, part in enumerate(parts)]
        async def receive() -> dict: return waiting.pop(0) if waiting else {"type": "http.disconnect"}
        async def send(message: dict) -> None: sent.append(message)
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path,
                 "raw_path": path.encode("utf-8", "replace"), "query_string": query, "headers": headers, "client": ("203.0.113.9", 5), "server": ("test", 80)}
        try: await self._app(scope, receive, send)
        except Exception:  # the server has answered 500 and lets its web server know
            if not sent: raise
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(m.get("body", b"") for m in sent[1:])

    def close(self) -> None:
        self._app.state.backend.close()
        self._runner.close()


SCREEN = b64(thumbnail(SHOT, {"width": 960, "height": 540, "screen_type": "TRAITS", "annotations": []}).png)
BODIES = {"/contribute": said(), "/contribute/bulk-crops": {"install_id": ME, "items": [crop_item()]},
          "/upload/screen-types": {"install_id": ME, "screen_type": "TRAITS", "items": [{"png_b64": SCREEN}]},
          "/upload/anchors": {"install_id": ME, "grids": [GRID]}}
NEEDED = {"/contribute": ("install_id", "phash", "crop_png_b64", "item_name"), "/contribute/bulk-crops": ("slot", "name", "crop_png_b64"),
          "/upload/screen-types": ("png_b64",), "/upload/anchors": ("build_type", "resolution", "slots")}
JSON = [(b"content-type", b"application/json")]
Sent = tuple[list[bytes], list[tuple[bytes, bytes]]]  # a body in parts, headers


def places(value: object, way: tuple = ()) -> Iterator[tuple]:
    "The way to every field."
    if way: yield way
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else (): yield from places(value[key], (*way, key))


def put(body: dict, way: tuple, value: object) -> dict:
    "A copy with something else in that place."
    body = inner = copy.deepcopy(body)
    for key in way[:-1]: inner = inner[key]
    inner[way[-1]] = value
    return body


def item_of(path: str, **change: object) -> dict:
    "The route's body with fields of its one item changed."
    body = copy.deepcopy(BODIES[path])
    (body if path == "/contribute" else body.get("items", body.get("grids"))[0]).update(change)
    return body


def plainly(body: object) -> Sent: return [json.dumps(body).encode()], JSON


def wrong_types(rng: random.Random, path: str) -> Sent:
    "Some field holds another kind of value."
    way = rng.choice([w for w in places(BODIES[path]) if w[-1] != "aspect"])  # a grid's aspect is computed anew, whatever it says
    value: object = BODIES[path]
    for key in way: value = value[key]
    others = {str: [5, -1.5, True, [], {}, ["x"], {"a": 1}, 10 ** 30], int: ["x", "5", [], {}, [5], {"a": 1}, 1e308, -1],
              float: ["x", "0.1", [], {}, [0.1], -7, 1e308],
              bool: ["yes", 2, 0, [], {}, False], list: ["x", 5, True, {}, None, [], [[]]], dict: ["x", 5, True, [], None, [{}]]}
    return plainly(put(BODIES[path], way, rng.choice(others[type(value)])))


def fields_missing(rng: random.Random, path: str) -> Sent:
    body = item_of(path)
    inner = body if path == "/contribute" else body.get("items", body.get("grids"))[0]
    for name in rng.sample(NEEDED[path], rng.randint(1, len(NEEDED[path]))): del inner[name]
    return plainly(body)


def pictures(rng: random.Random, path: str) -> Sent:
    "A picture that is none, is too large when unpacked, has no pixels, moves, is cut off or damaged."
    if path == "/upload/anchors": return plainly(item_of(path, resolution=rng.choice(("0x0", "1920x0", "1x99999", "99999999999x1", "1920×1080", "big"))))
    png = bytearray(PLAIN if rng.random() < .6 else rng.choice(list(BAD_PNG.values())))
    act = rng.choice(("as it is", "flipped", "cut", "longer")) if png and bytes(png) != PLAIN else rng.choice(("flipped", "cut", "longer"))
    if act == "flipped" and png: png[rng.randrange(len(png))] ^= rng.randint(1, 255)
    if act == "cut": png = png[:rng.randrange(len(png))] if png else png
    if act == "longer": png += rng.randbytes(rng.randint(1, 40))
    return plainly(item_of(path, **{"png_b64" if "screen" in path else "crop_png_b64": b64(bytes(png))}))


def not_base64(rng: random.Random, path: str) -> Sent:
    if path == "/upload/anchors": return wrong_types(rng, path)
    good = b64(PLAIN)
    text = rng.choice((good[:-3], good + "=", "data:image/png;base64," + good, good.replace("A", "-"), "\n".join(good), "ä" * 200,
                       "!" * rng.randint(1, 999), "A" * 300_000, "", " " + good, "\x00" * 120, "\ud800" * 120))
    return plainly(item_of(path, **{"png_b64" if "screen" in path else "crop_png_b64": text}))


TRICKS = ("../../../../etc/passwd", "..\\..\\windows", "%2e%2e%2f", "/", "\x00", "CON", "~", "a/b", "ünïcödé-id", "-" * 65, "x\n" * 8,
          "'; drop table spent; --")
NAMES = ("Kettle", "Test Item Name", "U.S.S. Enterprise", "\x00\x01\x1b[2J", "../../x", "'; drop table spent; --", "__proto__", "🦖" * 40, "x" * 301,
         "\ud800", "\u202egnivarG",
         "<script>", "", " ", "NaN", "Gravity\tWell\nTractor Beam", "%s%n", "{0.__class__}")


def words(rng: random.Random, path: str) -> Sent:
    "Names with control characters, names that nobody knows, clocks that were never set, ids that lead elsewhere."
    which = rng.randrange(3)
    tricks = ("", "../..", "\x00", "///", "…" * 9, "x" * 65) if path == "/contribute" else TRICKS  # the oldest route drops what it does not know
    if which == 0: return plainly(put(BODIES[path], ("install_id",), rng.choice(tricks)))
    fields = ({"timestamp": "1970-01-01"}, {"timestamp": "soon"}, {"phash": "Z" * 16}, {"phash": "0" * 17}, {"confirmed": False}, {"warp_version": "9" * 21})
    if which == 1 and path == "/contribute": return plainly(item_of(path, **rng.choice(fields)))
    name = rng.choice(NAMES)
    if path == "/upload/screen-types": return plainly(put(BODIES[path], ("screen_type",), rng.choice((*TRICKS, "UNKNOWN", "traits"))))
    if path == "/upload/anchors": return plainly(item_of(path, build_type=name))
    if path == "/contribute": return plainly(item_of(path, item_name=name))
    change = rng.choice(({"name": name}, {"slot": name or "x"}, {"name": "Gravity Well\x07"}, {"screenshot16": "../" * 5 + "x"}, {"confirmed_at": "1970-01-01"},
                         {"crop_sha256": "0" * 64}, {"slot": "Ship Name", "name": ""}, {"slot": "Ship Type", "name": "I.K.S. Mine", "crop_png_b64": LINE},
                         {"withdrawn": "yes"}, {"withdrawn": True, "crop_sha256": "../" * 21 + "x"}, {"ml_name": "\x1b[2J"}))
    return plainly(item_of(path, **change))


def broken_text(rng: random.Random, path: str) -> Sent:
    "JSON that is none."
    text = json.dumps(BODIES[path]).encode()
    at = rng.randrange(1, len(text) - 1)
    return [rng.choice((b"", b"null", b"[]", text[:at], text + b"}", text + b"\x00", text + b" // as agreed",
                        text[:-1] + b',"install_id":5}',  # twice, and the second one counts
                        b"[" * 50_000, b'{"a":' * 20_000, text.replace(b'"install_id": "', b'"install_id": "\xff\xfe'),
                        text.replace(b'": "', b'": NaN, "x": "', 1), text.replace(b'": "', b'": ' + b"9" * 5000 + b', "x": "', 1),
                        text.replace(b'"', b"'"), b"install_id=" + ME.encode(), rng.randbytes(300), text[:at] + b"\xc3\x28" + text[at:],
                        b"\x1f\x8b" + text))], JSON


def other_kinds(rng: random.Random, path: str) -> Sent:
    "The right body under a wrong name."
    kind = rng.choice((b"text/plain", b"multipart/form-data; boundary=x", b"application/x-www-form-urlencoded", b"", b"image/png", b"application/xml",
                       b"\xff", b"json", None))
    return plainly(BODIES[path])[0], [] if kind is None else [(b"content-type", kind)]


def too_large(rng: random.Random, path: str) -> Sent:
    "More bytes than may come, told and untold, or more items than a batch holds."
    which = rng.randrange(3)
    if which == 0: return [b"x"], [*JSON, (b"content-length", b"%d" % rng.choice((MAX_BODY + 1, 10 ** 12, 10 ** 30)))]
    if which == 1 and rng.random() < .1: return [b" " * 1_000_000] * 12, JSON  # in chunks, no length told
    if path == "/contribute": return plainly(item_of(path, crop_png_b64="A" * 200_001))
    return plainly(BODIES[path] | {key: value * 51 for key, value in BODIES[path].items() if isinstance(value, list)})


def wrong_keys(rng: random.Random, path: str) -> tuple[str, Sent]:
    "Routes that need a key, asked without it."
    route, header = rng.choice((("/admin/merge", b"x-admin-key"), ("/webhooks/hf-dataset", b"x-webhook-secret")))
    key = rng.choice((None, b"", b"s3cre", b"hus", b"S3CRET", b"\xff\xfe", b"x" * 9000, b"null"))
    return route, ([b"{}"], [] if key is None else [(header, key)])


KINDS = (wrong_types, fields_missing, pictures, not_base64, words, broken_text, other_kinds, too_large, wrong_keys)


def malformed(count: int, seed: int) -> None:
    "Sends that many; each is a 4xx that says why, and none leaves anything behind."
    door, rng, seen = Door(), random.Random(seed), Counter()
    for i in range(count):
        kind, path = KINDS[i % len(KINDS)], rng.choice(list(BODIES))
        made = kind(rng, path)
        if kind is wrong_keys: path, made = made
        for _ in range(1 + (i % 50 == 0)):  # some come twice
            status, headers, body = door.ask("POST", path, *made)
            seen[kind.__name__, status] += 1
            told = b"".join(made[0])[:300], made[1]
            assert 400 <= status < 500, (kind.__name__, path, status, body[:300], *told)
            why = json.loads(body)
            assert headers[b"content-type"] == b"application/problem+json" and why["status"] == status and why["detail"], (path, *told)
    assert {status for _, status in seen} == {400, 403, 413, 422}, seen
    assert door.hub.head(REPO) == door.hub.head(DATA) == ""
    for path, body in BODIES.items(): assert door.ask("POST", path, *plainly(body))[0] == 200, path  # it was the requests, not the server
    assert door.hub.head(REPO) and door.hub.head(DATA)
    door.close()


def test_five_thousand_malformed_contributions_store_nothing(): malformed(5000, SEED)


@pytest.mark.long
def test_fifty_thousand_malformed_contributions_store_nothing(): malformed(50_000, SEED + 1)


def test_a_flood_with_forged_addresses_ends_at_the_limit():
    rng, counts = random.Random(SEED), Counter()
    door = Door(per_address=20, per_install=10 ** 9, trusted_hops=1)
    for i in range(500):
        lies = (b"6.6.6.%d" % (i % 256), b"nonsense", b"::%x" % i, b"", b"127.0.0.1", b"203.0.113.9")
        forged = b", ".join(rng.choices(lies, k=rng.randint(1, 5)))
        headers = [*JSON, (b"x-forwarded-for", forged + b", 198.51.100.7"), (b"forwarded", b"for=" + forged), (b"x-real-ip", forged)]
        counts[door.ask("POST", "/contribute", plainly(said(install_id=f"install-{i}", crop_png_b64="A" * 200))[0], headers)[0]] += 1
    assert counts == {400: 20, 429: 480} and door.hub.head(REPO) == ""
    assert door.ask("POST", "/contribute", plainly(said())[0], [*JSON, (b"x-forwarded-for", b"198.51.100.8")])[0] == 200  # somebody else
    door.close()


def test_odd_questions_are_answered():
    door, rng = Door(), random.Random(SEED)
    paths = ["/", "/health", "/model/version", "/knowledge", "/quota", "/docs", "/openapi.json", "//", "/../../etc/passwd", "/model/version/", "/%ff", "/\x00",
             "/" + "x" * 9000, "/ünï", "*"]
    queries = [b"", b"install_id=" + b"x" * 65, b"install_id=%00", b"install_id=%ff", b"install_id=../..", b"install_id=a&install_id=b", b"&&&===", b"\xff",
               b"install_id=%F0%9F%A6%96"]
    headers = [[], [(b"if-none-match", b'"' + b"x" * 9000)], [(b"if-none-match", b"\xff")], [(b"if-none-match", b"W/,,,*")], [(b"range", b"bytes=-1")],
               [(b"host", b"")], [(b"origin", b"null")], [(b"accept", b"image/avif")], [(b"cookie", b"\xff=\xff")], [(b"x-forwarded-for", b"\xff, " * 500)]]
    seen = Counter()
    for _ in range(600):
        method = rng.choice(("GET", "GET", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PATCH", "QUERY", "get", "\N{GREEK SMALL LETTER ALPHA}"))
        asked = method, rng.choice(paths), [b""], rng.choice(headers), rng.choice(queries)
        status = door.ask(*asked)[0]
        seen[status] += 1
        assert status < 500, asked
    assert {200, 404, 405, 422} <= seen.keys() and door.hub.head(REPO) == ""
    door.close()
