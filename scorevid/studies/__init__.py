"""What takes long, and is stored with its parameters in ``results``, from where chapters draw it.

``sampling`` is what chapter 3 measures of samplers, and ``many`` what supplement 3d measures of them where scenes have many
disks. ``natural`` is a room of its own for natural video. ``density`` is what chapter 6 measures, ``memory`` is for chapter 7
and ``motion`` for chapter 8. ``ablations`` trains the small networks of chapter 2, and ``methods`` those of other methods of
video prediction. ``trials`` compares ways to train and to build a network on validation data, for the page on speed and for
supplement 5a. ``representations`` trains networks to look into, and says what to decode from them. ``stored`` keeps results.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=[
        "ablations",
        "density",
        "many",
        "memory",
        "methods",
        "motion",
        "natural",
        "representations",
        "trials",
    ],
    submod_attrs={
        "sampling": [
            "ASCENT",  # the ascent that chapter 3 looks at
            "CONSTANTS",  # values of its constants that are compared
            "SOLVERS",  # samplers that are compared
            "ChoiceStatistics",  # how often samples chose which future
            "by_solver",  # stored results of a network, by sampler
            "distance_from_one",  # of a slope, with its interval
            "choice_statistics",  # how often samples chose which future
            "meetings",  # scenes to compare samplers on
            "nearer_to_grey",  # which of two futures mid-grey is nearer to
        ],
        "stored": [
            "Results",  # a sweep's, stored one after the other
            "load_results",  # results with their parameters
            "settings_of",  # a sampler as it is stored
            "store_results",  # keep results with their parameters
        ],
    },
)
