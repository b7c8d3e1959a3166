"""Plants faults in a Python that a test starts: `PLANTED="module:function:when:what"`, several separated by `;`.

`when` is `before` or `after` (the call is begun, or done); `what` is the signal that the process sends itself, `exit`,
or `wait` (until there is a file PLANTED_STRUCK.go). `module` is where `function` (also `Class.method`) is looked up;
`function@2` means its second call.
Only the process in which the function is called is struck, and only once per training (the file PLANTED_STRUCK knows).
Python imports this module at its start, because its folder is on PYTHONPATH.
"""

import functools
import os
import signal
import sys
import time

WANTED = [tuple(entry.split(":")) for entry in os.environ.get("PLANTED", "").split(";") if entry]
LEFT = {}


def strike(what, key):
    """The fault itself. A signal that Python handles arrives before the next line runs."""
    struck = os.environ["PLANTED_STRUCK"]
    known = open(struck).read() if os.path.exists(struck) else ""  # noqa: PTH110, PTH123, SIM115  # pathlib costs
    if repr(key) in known:
        return
    with open(struck, "a") as file:  # noqa: PTH123
        file.write(f"{time.time()} {key!r}\n")
    if what == "exit":
        os._exit(0)
    if what != "wait":
        os.kill(os.getpid(), getattr(signal, what))
    while what == "wait" and not os.path.exists(f"{struck}.go"):  # noqa: PTH110
        time.sleep(0.05)


def wrapped(function, key, when, what):
    @functools.wraps(function)
    def call(*arguments, **named):
        LEFT[key] -= 1
        if LEFT[key]:
            return function(*arguments, **named)
        if when == "before":
            strike(what, key)
        result = function(*arguments, **named)
        if when == "after":
            strike(what, key)
        return result

    return call


def plant(module, name, when, what):
    name, _, number = name.partition("@")
    key = (module.__name__, name, when)
    LEFT[key] = int(number or 1)
    *path, last = name.split(".")
    place = functools.reduce(getattr, path, module)
    setattr(place, last, wrapped(getattr(place, last), key, when, what))


class Loader:
    """Loads a module and plants in it before anybody has imported from it."""

    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        self.loader.exec_module(module)
        for where, name, when, what in WANTED:
            if where == module.__name__:
                plant(module, name, when, what)

    def __getattr__(self, name):
        return getattr(self.loader, name)


class Finder:
    """Asks the finders behind it."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in {entry[0] for entry in WANTED}:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = Loader(spec.loader)
                return spec
        return None


if WANTED:
    sys.meta_path.insert(0, Finder())
