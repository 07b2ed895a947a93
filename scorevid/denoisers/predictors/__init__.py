"""Networks of others that predict the next frame from the past alone, by squared error.

``convlstm`` remembers the past in the states of recurrent cells; ``simvp`` has convolutions only. Both are made small, so that
they can be compared with the U-Net at equal processor time. Regression on the U-Net's own backbone is in
:mod:`scorevid.denoisers.conditioned`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "convlstm": [
            "ConvLSTM",  # recurrent cells with convolutions, of Shi et al.
            "Layer",  # one layer of them
        ],
        "simvp": [
            "SimVP",  # encoder, translator, decoder, of Gao et al.
            "Inception",  # a block of the translator
        ],
    },
)
