"""What networks have learned inside: what chapter 9 compares, and what it decodes.

``networks`` trains and loads them. ``targets`` are what is decoded from scenes of leaves. ``inside`` measures one network,
``pairs`` how alike two are, and ``causes`` what channels are for. ``every`` does so for all networks, and ``verdicts`` says in
which properties methods differ. ``natural_video`` has patches of shots, their motion and their representations,
``natural_readouts`` what is read off these, and ``few_labels`` how well kinds are told apart.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=["causes", "inside", "pairs", "verdicts"],
    submod_attrs={
        "every": [
            "PIXELS",  # the baseline
            "Plan",  # how much is measured of each network
        ],
        "few_labels": [
            "FewLabels",  # shots in the right order, pair by pair
            "ahead_of",  # of another representation
            "tell_apart",  # from few labels
        ],
        "natural_readouts": [
            "CAMERAS",  # kinds that a file of labels may name
            "TASKS",  # what shots are told apart by
            "decoded",  # of patches
            "read_labels",  # of shots
            "read_records",  # as they are in the file
            "told_apart",  # whole shots
        ],
        "natural_video": [
            "BASELINES",  # what networks are compared with
            "TARGETS",  # what is decoded
            "flow_statistics",  # a baseline
            "motion_of",  # patches
            "pixel_statistics",  # a baseline
            "represent",  # patches
            "spread_patches",  # over frames
            "unseen_shots",  # in training
            "untrained_like",  # a published network
        ],
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
