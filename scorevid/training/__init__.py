"""A network is trained here, from its first update to published weights.

A run is a folder. ``trainer`` is the loop. ``steps`` holds what the loop is made of: settings, state, learning rate, batches.
``ahead`` makes batches of video on the disk in advance. ``optimisers`` has Adam and Muon, ``compiling`` the check of compiled
gradients, ``parallel`` several processes. ``records`` reads and writes checkpoints and logs. ``runs`` opens a folder again and
publishes its weights, with the scores of ``cards``.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "trainer": [
            "Trainer",  # a run: steps, saves, resumes
        ],
        "steps": [
            "Settings",  # how to train
            "generator_for",  # the randomness of one step
            "learning_rate",  # the factor on the peak rate
            "noisy_batch",  # what a step sees
        ],
        "records": [
            "load_checkpoint",  # a run as it is stored
            "read_log",  # loss and speed, line by line
        ],
        "runs": [
            "open_run",  # the trainer of a folder
            "publish",  # its averaged weights, with a card
        ],
        "cards": [
            "score_card",  # the scores on the card of trained weights
        ],
        "optimisers": [
            "make_optimiser",  # Adam, or Muon with Adam
        ],
        "compiling": [
            "lost_gradients",  # of a compiled loss
        ],
    },
)
