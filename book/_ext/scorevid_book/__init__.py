"""What the book adds to Jupyter Book, one idea a module; all of it is worked out by the build, nothing is typed by hand.

``chapters`` shows chapters as they were executed, ``figures`` leads from a figure to its code, ``code`` folds code,
``take_home`` prepares what is downloaded, ``provenance`` says how a page was made, ``launch`` adds buttons of Binder and
Colab. ``records`` reads what the claims measured, which ``prose`` puts into sentences and ``ledger_tables`` into tables.
``speed`` shows stored benchmarks, ``status`` run times and versions. ``rooms`` draws the map of the package and writes its
reference, whose ``signatures`` say types alone. ``playground`` exports the networks of the page that runs them.
"""

from importlib import import_module

from sphinx.application import Sphinx

PARTS = (
    "chapters",
    "figures",
    "code",
    "take_home",
    "launch",
    "records",
    "prose",
    "ledger_tables",
    "speed",
    "status",
    "rooms",
    "signatures",
    "playground",
)


def setup(app: Sphinx) -> dict:
    """Connect all parts; provenance comes last, so that its strip ends a chapter."""
    for name in (*PARTS, "provenance"):
        import_module(f"{__name__}.{name}").connect(app)
    return {"version": "2", "env_version": 2, "parallel_read_safe": True, "parallel_write_safe": True}
