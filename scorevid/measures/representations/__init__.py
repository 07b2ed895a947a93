"""What a network has learned inside: its activations, how sparse they are, what can be read off them, and what they do.

``activations`` are recorded, block by block, of any network. Of these, ``sparsity`` measures how few channels answer,
``readout`` what a linear decoder finds in them, ``similarity`` how alike two networks are. ``overlaps`` compares the sets of
active units at two noise levels, or of two groups of scenes. ``interventions`` changes activations, to see what they are for.
``driving`` finds what drives a channel.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "activations": [
            "block_names",  # what is recorded of a network
            "rectifiers",  # its ReLUs, by name
            "channel_averages",  # φ of each block
            "active_sets",  # which units are active
            "activation_maps",  # of one block
        ],
        "driving": [
            "Driving",  # places that drive a channel
            "driving_patches",  # those of a network
        ],
        "sparsity": [
            "active_fraction",  # share of the channels that answer
            "participation_ratio",  # how evenly they do
            "gini",  # how unevenly
            "Sparsity",  # the three of a block, over scenes
            "sparsity_curve",  # of a network, by noise level and block
        ],
        "readout": [
            "Readout",  # what a linear decoder finds, with its interval
            "decode",  # by ridge or logistic regression, with cross-validation
        ],
        "similarity": [
            "unbiased_hsic",  # of two kernels
            "linear_cka",  # of two representations of the same scenes
            "procrustes_distance",  # after the best rotation
            "over_scenes",  # either with the jackknife's interval
        ],
        "overlaps": [
            "jaccard",  # of two sets
            "overlap",  # of active sets of the same scenes, over scenes
            "between_scenes",  # of any two scenes
            "separation",  # of two groups of scenes by their active sets
        ],
        "interventions": [
            "steered",  # a direction is added to a block
            "ablated",  # channels are replaced
            "effect",  # on the answer, scene by scene
        ],
    },
)
