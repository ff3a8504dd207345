"""warp reads a player's screenshots of a Star Trek Online build and writes down, by name, every item in it; the players who correct it are the ones who teach it.

What an app needs is in `warp` itself (`warp.read_build`, `warp.update`, and what `dir(warp)` lists besides); everything else is imported from its own room, as in
`from warp.knowledge.votes import decide`. Names load when first used, so `import warp` alone costs next to nothing.

Modules:

- `warp.cli`: One verb a step, each a thin skin over the function of that name.
- `warp.config`: Where things lie on this machine, who this install is, and how a file is written so that a crash cannot tear it.
- `warp.data.clients`: Takes over the training data of older clients, and says of every record what became of it and why.
- `warp.data.crops`: Cuts an icon out of a screenshot, always in the same way, and names it by its pixels.
- `warp.data.formats`: Boxes leave as COCO or YOLO and come back, and every single one is accounted for.
- `warp.data.journal`: One durable line for each act: nothing acknowledged is lost, two programs share a folder, and everything can be taken back.
- `warp.data.old`: Reads the training data folders of older clients in all their shapes, and mends what cannot be misunderstood.
- `warp.data.pictures`: All pictures at hand, by name, by hash and by pixels; and whether a crop was cut from a place.
- `warp.data.report`: A report whose counts must balance, and that never tells a ship's name.
- `warp.data.store`: What a person confirmed on this machine: screenshots, boxes, names and crops, safe from crashes and from two programs at once.
- `warp.data.sync`: How confirmed labels leave a machine: each once, none lost, and nothing that was not meant to.
- `warp.data.worker`: While somebody labels, a quiet thread sees to it that the labels leave, and nobody ever waits for it.
- `warp.demo`: A small universe of players, items and screenshots, drawn by code from one seed, in which the truth about every pixel is known.
- `warp.desk.boxes`: Draw a box, press a digit, type three letters, Enter: that is one icon. Sixty of them are a screenshot, and every step can be taken back.
- `warp.desk.grid`: Five hundred icons side by side, each with the name it seems to have: a key says yes, another says no, and alike ones are answered together.
- `warp.desk.lab`: One command puts the desks into a folder of yours and opens JupyterLab there.
- `warp.desk.marks`: A page of boxes is a value: it is read in order, checked as a whole, and taken back by keeping the one before.
- `warp.desk.names`: A few letters in any order, or one digit, and the item has its name.
- `warp.desk.page`: What every desk has: a head that says how far one is, keys that work, and messages that show, also when something went wrong.
- `warp.desk.prelabel`: The boxes are there before anybody draws: a person looks, and says yes or no.
- `warp.desk.review`: The few crops on which votes are not enough, one at a time, beside pictures of what they may be; what a maintainer decides becomes a line of the ledger.
- `warp.desk.screens`: A wall of screenshots and one key for each: what is this a picture of?
- `warp.desk.sheet`: One screenshot after the other, kept at every stroke: whoever is interrupted goes on where the hand was.
- `warp.detect.canvas`: A picture that remembers, pixel by pixel, which thing is on top, and so how much of each can be seen.
- `warp.detect.cvat`: What people have drawn, in CVAT or in JupyterLab, becomes a set, and the number that goes in is the number that comes out.
- `warp.detect.job`: From a game's files and people's labels to a measured detector, and a page on which one sees what happened at every step.
- `warp.detect.labels`: Pictures with boxes, as one folder that every step reads and writes, and as the two formats that the rest of the world speaks.
- `warp.detect.measure`: How many of the things on real pictures it finds, how many it makes up, and how sure we may be of either.
- `warp.detect.merge`: Many sets become one training set, and nothing of what it is judged on is in it.
- `warp.detect.panels`: Draws the windows of a build as no player has ever arranged them, so that a detector learns what a place is and not where it stands.
- `warp.detect.profile`: One file says all that the detector line knows about a game: its classes, its scenes, and where its pictures come from.
- `warp.detect.scenes`: Puts cut-out things on clean ground as the game would, and writes down where every one of them is and how much of it can be seen.
- `warp.detect.select`: An hour of drawing boxes goes where the detector is weakest, and begins with its own proposals.
- `warp.detect.sld`: Reads the animation files of Age of Empires II: every frame, every layer, and what a frame leaves to the one before it.
- `warp.detect.sprites`: Cut-out pictures of every class, and the ground they stand on, from the game's own files.
- `warp.detect.train`: A small network of our own that learns to find things in minutes on a processor, and leaves a file that needs no torch.
- `warp.detect.verbs`: A verb for every step of the detector line; each reads folders, writes folders, and says where.
- `warp.detect.yolo`: The large pretrained detector for whoever accepts its licence, and a parcel that trains it on a machine rented by the hour.
- `warp.errors`: Every error that warp raises on purpose, in one tree.
- `warp.hfhub`: Everything that a folder hub does, on huggingface.co, and never without an end.
- `warp.host`: Finds the SETS app's configuration folder on Windows, macOS and Linux, and never writes a byte there.
- `warp.hub`: One small seam between warp and whatever stores its files: a folder, memory, or a public hub.
- `warp.intake`: Everything that a stranger sends is a claim. Here it is checked, cut down to what may be kept, and put into the form in which the hub keeps it.
- `warp.knowledge.anchors`: Learns from confirmed boxes where a panel keeps its slots, whatever size the player plays at.
- `warp.knowledge.corrections`: What the OCR keeps misreading, learned from the people who put it right.
- `warp.knowledge.curated`: Pictures and their names, packed by the thousand: a few requests bring them to a trainer, and visitors of the hub see them in their browser.
- `warp.knowledge.ledger`: What maintainers decided, one line each with its reason: it stands above the votes, and every line can be taken back by a later one.
- `warp.knowledge.merge`: Every two hours what players sent is decided, packed and tidied away, in one commit that is whole or not there at all.
- `warp.knowledge.overrides`: One player corrects one wrong answer, and the same picture is right for everybody the next day, without any training.
- `warp.knowledge.staging`: Every install writes into a folder of its own; everything is read with suspicion, and counted once.
- `warp.knowledge.trust`: When not everybody means well: who is believed, by how much, and how anyone can check it.
- `warp.knowledge.vocabulary`: Which names each slot may hold, so that one thing has one name on every machine.
- `warp.knowledge.votes`: What many players say about one crop becomes one label, and anyone can see how.
- `warp.loop`: One icon's whole life in one command: confirmed, sent, voted on, learned, published, fetched, recognised.
- `warp.match.cascade`: Four modules that each know something, asked in an order that was measured, give one answer that says who gave it.
- `warp.match.detector`: A picture in, named boxes out, from any network whose contract lies beside it. No torch.
- `warp.match.hashes`: Remembers what people said about a crop that looked just like this one, and believes it only after a look at the item's own picture.
- `warp.match.model`: Turns sixty crops into sixty points in 30 ms and names each after the nearest point of its slot's gallery.
- `warp.match.session`: What a person has just confirmed is the best picture of that item, on that person's screen.
- `warp.match.templates`: Lays a crop over a clean picture of every item, all of them at once, and needs no training at all.
- `warp.privacy`: What a screenshot tells about its player, and how little of it warp keeps.
- `warp.read.boxes`: Finds every slot of a screenshot from the community's maps, at any interface scale and anywhere on the screen.
- `warp.read.build`: Screenshots in; out come the names of everything on them, as a file that SETS loads and as a picture that a person can check.
- `warp.read.frames`: Tells how much every spot of a screenshot looks like the frame around an icon, at any size of the icons.
- `warp.read.grid`: From boxes that a detector found, one by one and a little askew, to straight rows of places; and from what lies in them, which slot each row is.
- `warp.read.hostfile`: What was read, written down so that SETS opens it with *File -> Load*, key by key as its loader expects.
- `warp.read.labels`: What the game writes beside its slots, in the languages it speaks, and which slot a bruised line of it means.
- `warp.read.places`: What was read in each place of a screenshot, in the order of its panel, and drawn so that a person can check it.
- `warp.read.screens`: Looks at a whole screenshot and says which of the seven screens it shows, or that it does not know.
- `warp.read.ships`: From a bruised line of text to the one ship it names, or to the two it may name, or to none.
- `warp.read.text`: A piece of a screenshot in, its lines of text and where they stand out.
- `warp.records`: The nouns of the whole package: what a box, a slot, an annotation, a vote, a match and a release are.
- `warp.release.checks`: The models stay new by themselves; nobody waits for it, and nobody is bothered when it fails.
- `warp.release.local`: An evening at the desk makes your own models better the same evening, and tomorrow's community models still reach you.
- `warp.release.manifest`: Weights, labels and digests as one thing: which files belong together, whether they are intact, and which of two sets is newer.
- `warp.release.publish`: From a trained folder to the hub in one commit, or not at all, and never a worse model than the one that is served.
- `warp.release.served`: Thousands of apps ask the same short question once a day. The answer is read from the hub once in five minutes, made once, and given to all of them.
- `warp.release.update`: Asks once a day for a newer release, and whatever happens on the way, a working set of models stays in use.
- `warp.server`: What every player's app asks once a day, and the one door through which labels without a token reach the hub.
- `warp.status`: One page that shows a player what all the confirming has come to: how much is known, how well it is recognised, and since when.
- `warp.throttle`: Many people at once, and a hub that likes few visits: how much each may send in a day, and how the things of many go there together.
- `warp.train.art`: Makes a thousand plausible screenshot crops a second out of the clean icons that the host application already holds.
- `warp.train.canary`: Crops that no model may ever learn from, so that two models can be asked about the same pictures.
- `warp.train.classifier`: An EfficientNet-B0 under torchvision's own key names, trained as its first trainers meant it to be.
- `warp.train.embedder`: From crops and clean icons, the small network that puts pictures of one item close together.
- `warp.train.gallery`: From a trained embedder to the files that a client loads: one point per name, a score that keeps its promise, a network in eight bits.
- `warp.train.job`: One call from what players have said to a folder that can be published, or a sentence why there is nothing to do.
- `warp.train.loop`: Steps until the time is up, a judgement now and then, and the best state at the end, whatever happens in between.
- `warp.train.report`: Before a training and after it, the same question: what is in these pictures, and whom would you believe?
- `warp.train.samples`: Crops with their names in one array, and the part of them that is held back to judge by.
- `warp.train.screens`: From some dozens of thumbnails, the networks that tell the seven kinds of screens apart."""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {"Box": "warp.records", "Build": "warp.read.build", "Config": "warp.config", "Match": "warp.records", "Reader": "warp.read.build", "Store": "warp.data.store",
          "WarpError": "warp.errors", "open_hub": "warp.hub", "read_build": "warp.read.build", "update": "warp.release.update"}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES: raise AttributeError(f"module 'warp' has no attribute {name!r}: expected one of {', '.join(__all__)}, or a submodule")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]: return [*__all__, "__version__"]
