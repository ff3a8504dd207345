"""Every error that warp raises on purpose, in one tree.

    WarpError
    ├── InputError            what a person or a program handed in cannot be used
    │   ├── ImageError        no image, a torn image, an image of impossible size
    │   ├── BoxError          a box without area or outside its screenshot
    │   ├── SlotError         a slot or screen type that does not exist
    │   ├── VocabularyError   a name that is not in the slot's vocabulary
    │   └── PrivacyError      something that must not be stored or sent
    ├── StoreError            the training data on this machine cannot be read or written
    ├── HubError              the hub cannot do what was asked
    │   ├── NotFoundError     no such repository, file or revision
    │   ├── ConflictError     somebody committed in between
    │   ├── LockedError       another process holds the lock
    │   ├── BusyError         the hub wants a pause, and says how long
    │   └── FetchError        some files did not come, though they are there
    ├── ModelError            a model set that cannot be used: wrong digest, labels that do not fit the weights
    ├── TrainingError         a run that must not publish: too little data, too many missing files, no finished epoch
    │   └── GateError         a model worse than the served one
    └── MissingExtra          an optional part of the package is not installed

A message names the value, what was expected and the remedy.
"""

__all__ = ["WarpError", "InputError", "ImageError", "BoxError", "SlotError", "VocabularyError", "PrivacyError", "StoreError", "HubError", "NotFoundError",
           "ConflictError", "LockedError", "BusyError", "FetchError", "ModelError", "TrainingError", "GateError", "MissingExtra"]


class WarpError(Exception):
    "The root of the tree: catch this to catch everything that warp raises on purpose."


class InputError(WarpError, ValueError):
    "What a person or a program handed in cannot be used."


class ImageError(InputError):
    "No image, a torn image, or one of impossible size."


class BoxError(InputError):
    "A box without area, or one that sticks out of its screenshot."


class SlotError(InputError):
    "A slot or a screen type that does not exist."


class VocabularyError(InputError):
    "A name that is not in the slot's vocabulary."


class PrivacyError(InputError):
    "Something that must neither be stored nor sent, such as a ship's own name."


class StoreError(WarpError):
    "The training data on this machine cannot be read or written."


class HubError(WarpError):
    "The hub cannot do what was asked."


class NotFoundError(HubError):
    "No such repository, file or revision on the hub."


class ConflictError(HubError):
    "Somebody committed in between: read again, decide again, commit again."


class LockedError(HubError):
    "Another process holds the lock."


class BusyError(HubError):
    "The hub asks for fewer requests; nobody should come again before `retry_after_s` seconds have passed."

    def __init__(self, message: str, retry_after_s: float):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class FetchError(HubError):
    "Some files did not come, though they are there. What came is in place: `fetched`, a `hub.Fetched`; why the others did not, by path: `failed`."

    def __init__(self, message: str, fetched: tuple, failed: dict[str, str]):
        super().__init__(message)
        self.fetched, self.failed = fetched, failed


class ModelError(WarpError):
    "A model set that cannot be used: a wrong digest, a missing file, labels that do not fit the weights."


class TrainingError(WarpError):
    "A run that must not publish: too little data, too many missing files, no finished epoch."


class GateError(TrainingError):
    "A model that is worse than the served one."


class MissingExtra(WarpError, ImportError):
    "An optional part of the package is not installed; the message says what to install."

    def __init__(self, module: str, extra: str):
        super().__init__(f"{module} is not installed and this needs it: pip install 'sets-warp[{extra}]'", name=module)
