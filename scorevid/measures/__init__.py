"""What judges a denoiser, or the samples that were drawn with one.

A denoiser is judged by its error (``errors``), by the density that its errors and its score add up to (``density``), by its
residual and the Jacobian of it (``score_from_residual``, ``linear_weights``, ``spectra``, ``optimal_weights``); samples by
which future they chose (``choices``), how often (``calibration``, ``proper_scores``) and when (``level_of_choice``), by how
sharp and diverse they are (``sample_quality``), or by what became of a disk that the past hid (``fates``). What a network has
learned inside is measured in the room ``representations``.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "score_from_residual": [
            "residual",  # d = f(y, c) − y
            "relative_error",  # of one residual to another
            "cosine",  # of the angle between two residuals
            "covariance_product",  # σ² J_y v, Cov[x | y, c] v as far as f is optimal
            "jacobian_shape",  # how near J_y is to a covariance
            "jvp",  # J_y v
            "vjp",  # J_yᵀ v
        ],
        "errors": [
            "SIGMAS",  # the noise levels of cards and curves
            "apply_batched",  # a denoiser over a long batch, in pieces
            "squared_errors",  # mean squared error at each σ
            "excess_and_ambiguity",  # distance from the optimum where futures differ
            "excess_curve",  # their ratio over σ, with intervals
            "gaussian_score_error",  # of Gaussian video, against the Wiener filter
            "identity_distances",  # of residual, optimum and score under other noise
        ],
        "density": [
            "FutureErrors",  # of a denoiser at the futures of scenes, over noise levels
            "future_errors",  # measured, for log odds and entropies
            "over_snr",  # ½ ∫ errors ds, in nats
            "along",  # the score added up along a path
            "surprise",  # in nats a pixel, as a map
        ],
        "linear_weights": [
            "Rows",  # rows of the Jacobian
            "rows",  # local linear weights of some output pixels
            "jacobian",  # all of them for one small frame
            "reconstruct",  # the output that the weights give
        ],
        "spectra": [
            "Spectrum",  # singular values and vectors of J_y
            "spectrum",  # its decomposition
            "overlap",  # of the spans of two bases
            "effective_dimension",  # Σ s², without the Jacobian
        ],
        "optimal_weights": [
            "Agreement",  # learned weights and errors beside optimal ones
            "agreement",  # measured in linear-Gaussian video
        ],
        "choices": [
            "BLEND",  # the sample chose no future
            "Counts",  # how often each future was chosen
            "projection",  # where a sample lies between two futures
            "coordinates",  # among any number
            "rendering_error",  # what it has beside
            "first_probability",  # of the future at projection 1
            "classify",  # two futures or a blend, from the projection
            "choose",  # among many futures
            "count_choices",  # of two futures
            "tally",  # of many
            "blend_share",  # of all samples
            "Places",  # where the answers of one method lie
            "places",  # between two futures, and beside the line through them
        ],
        "calibration": [
            "LogitFit",  # intercept and slope of log odds
            "fit_logit",  # a line through the log odds of choices
            "slope_gap",  # by how much one slope is farther from 1 than another
            "CalibrationError",  # with what chance adds to it
            "calibration_error",  # expected, in bins
            "excess_frequency_error",  # scene by scene, without chance, for any number of futures
            "chi_square",  # of choices among them, per degree of freedom
            "tempering_slope",  # the logit slope for any number
        ],
        "proper_scores": [
            "Scores",  # of samples, of draws from the true law, and the floor
            "energy_scores",  # of frames
            "crps_scores",  # of projections
            "pixel_crps_scores",  # of the greys of pixels
            "pooled_calibration_test",  # of all scenes at once
        ],
        "sample_quality": [
            "boundary",  # the pixels in which futures differ, and their neighbours
            "gradient_energy",  # of frames over chosen pixels
            "sharpness",  # relative to the true futures
            "pairwise_distance",  # of two samples of a scene, and of two true draws
        ],
        "fates": [
            "KEPT",  # a disk that was hidden comes out as it was
            "CHANGED",  # as something else
            "DROPPED",  # not at all
            "fate",  # which of these, in predicted frames
            "count_fates",  # how many of each
        ],
        "level_of_choice": [
            "Trajectories",  # how probable each sample's end was on its way
            "trace_choice",  # samples, with that
        ],
    },
)
