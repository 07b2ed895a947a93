"""What chapters and book are made with.

A chapter checks its parameters (``parameters``), draws (``figures``, ``animations``, ``diagram``), and decides its claims
(``claims``): ``claims.check(id, estimate, bound="<= 0.1")``. ``tables`` has what readers may sort. ``prediction`` shows what
comes next in a video of one's own.
"""

import logging

import lazy_loader as lazy

# matplotlib warns on standard error of a home that cannot be written and of fonts that it lists; a chapter shows neither
logging.getLogger("matplotlib").setLevel(logging.ERROR)

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=[
        "claims",  # decides claims and records what was measured: claims.check
        "figures",  # what chapters draw more than once: figures.grid, figures.error_curves, …
    ],
    submod_attrs={
        "animations": [
            "Animation",  # moving pictures for notebooks and pages
        ],
        "diagram": [
            "draw_network",  # a picture of the network, from the shapes that pass through it
        ],
        "parameters": [
            "check_parameters",  # of a notebook, before any work is done
        ],
        "prediction": [
            "Prediction",  # next frames of a video as a moving picture or a sheet
            "predict_video",  # makes it: what `scorevid predict` does
        ],
        "tables": [
            "sortable_table",  # estimates of many cases, to be sorted by any column
        ],
    },
)
