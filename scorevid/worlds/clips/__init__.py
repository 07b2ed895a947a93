"""Natural video: the embedded bank, DAVIS, arrays, video files, folders of them, and the patches that are drawn from them.

``readers``, ``video_files`` and ``bank`` give footage, and so do ``folders``, whose frames are ``stored`` on the disk.
``shots`` cuts it, ``world`` draws from it. ``patches`` are held out, ``flow`` is optical flow, ``occlusions`` where by that
something comes to cover something else.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "flow": [
            "optical_flow",  # dense optical flow between two frames
            "warp",  # a frame carried along a flow
        ],
        "folders": [
            "collection",  # the shots of a folder or a list of videos
            "listed_videos",  # what such a folder or list names
        ],
        "occlusions": [
            "Occlusions",  # what became visible and what was covered between two frames
            "estimate_occlusions",  # these from optical flow
        ],
        "patches": [
            "Patches",  # held-out patches, and where each is from
            "cut_from_whole_frames",  # what a function makes of whole frames, cut at the places of patches
            "few_frames",  # patches of a few frames of each shot
            "held_out",  # patches of a world that share no pixel
            "only_held_out",  # the world of those shots that another world holds out
        ],
        "probes": [
            "PROBES",  # where evidence of different kind is to be had
            "probe_pixels",  # a pixel of each kind in a frame, as far as there is one
        ],
        "readers": [
            "SEEN",  # the split of test shots whose background was seen in training
            "Clip",  # one shot
            "UncheckedFootage",  # the warning of files that nothing vouches for
            "davis",  # sequences of DAVIS
            "davis_lists",  # their names, without their frames
            "npz",  # a file of arrays
            "shrink",  # a frame made smaller by averaging areas
        ],
        "stored": [
            "StoredFrames",  # frames that stay on the disk
            "store",  # decodes videos once
        ],
        "video_files": [
            "Excerpt",  # some frames of a video
            "excerpt",  # frames before and after a place in a video file
            "video",  # a video file
        ],
        "world": [
            "Clips",  # the world
            "every_shot",  # the world of all shots of a source, whatever they are for there
            "footage",  # shots of one or several sources, by name
        ],
    },
)
