"""Moving leaves: disks that move and occlude one another, of which all possible next frames can be listed.

``world`` draws scenes, ``scenes`` renders them, ``next_frames`` lists the futures of a scene, ``pasts`` makes what only a
longer memory has seen, ``meetings`` draws test scenes with two futures or more, ``hidden`` those with a disk that is hidden
for a while, ``probes`` names pixels of a meeting.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "hidden": [
            "emergence",  # when a hidden disk comes out
            "hidden_for",  # test scenes of a disk that is hidden for some frames and comes out in the next
            "hidden_scenes",  # test scenes of a disk that is hidden in the whole past, and their controls
            "own_pixels",  # pixels that are the hidden disk's alone
            "passing_scenes",  # of a disk in view that will pass behind another
        ],
        "meetings": [
            "determined",  # whether the past determines all but the depth order
            "undecided_meetings",  # test scenes of two disks with exactly two futures
            "undecided_scenes",  # of any number of disks, with up to a dozen
            "inferred_orders",  # of three disks, in which the order of two follows from the third
            "remembered_orders",  # the same, with an order that was last visible some frames ago
        ],
        "next_frames": [
            "draw_depth",  # depth orders: the larger disk is more often in front
            "groups",  # which disks touch one another, whose orders depend on each other
            "futures",  # all next frames that the past allows, with their probabilities
        ],
        "probes": [
            "PROBES",  # where evidence of different kind is to be had
            "probe_pixels",  # a pixel of each kind in a meeting
        ],
        "scenes": [
            "Scene",  # a batch of scenes: positions, velocities, radii, greys, depth order
            "covers",  # how much of each pixel each disk covers
            "overlap_distance",  # distance of the two futures of a meeting
            "rejection_sample",  # scenes drawn until they are accepted
            "render",  # frames of scenes
            "visible",  # share of each disk that is seen
        ],
        "world": [
            "Leaves",  # the world
        ],
    },
)
