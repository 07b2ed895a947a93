"""The command ``scorevid sweep``: one notebook for all combinations of parameters, side by side.

``command`` hands the runs out by Dask, ``grid`` reads settings, ``folder`` is where runs and tables lie, and ``worker`` does
one run, as :mod:`scorevid.companion.notebooks` runs chapters. Nothing is exported: the command is the interface.
"""
