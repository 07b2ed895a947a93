"""What networks have learned inside: what chapter 9 compares, and what it decodes.

``networks`` trains and loads them. ``targets`` are what is decoded from scenes of leaves. ``inside`` measures one network,
``pairs`` how alike two are, and ``causes`` what channels are for. ``verdicts`` says in which properties methods differ.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=["causes", "inside", "pairs", "verdicts"],
    submod_attrs={
        "networks": [
            "FOLDER",  # where networks are published
            "NETWORKS",  # that are trained, by name
            "SEEDS",  # of each method
            "Train",  # the command that trains them
            "UNTRAINED",  # names of those that are not
            "WORLD",  # that they are trained on
            "load_network",  # by name
            "untrained",  # before its training
        ],
        "targets": [
            "decided_twins",  # the same scenes a frame earlier
            "open_pixels",  # where futures differ
            "posterior_log_odds",  # of the lighter disk in front, given a noisy frame
            "targets_of_meetings",  # of two disks
            "targets_of_scenes",  # of any number
        ],
    },
)
