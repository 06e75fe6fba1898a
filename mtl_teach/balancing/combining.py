"""Gradient methods that solve for the combination as a whole: MGDA, CAGrad, IMTL-G, Aligned-MTL, Nash-MTL."""

from __future__ import annotations

import math

import numpy as np

from ..tasks import TaskError
from .gradients import GradientMethod
from .solvers import bargain, conflict_averse, nearest_to_zero, norms_and_cosines, root

NOISE = 1.2e-7                                        # what a float32 cannot tell apart


class MGDA(GradientMethod):
    """Multiple gradient descent (Désidéri 2012; Sener & Koltun 2018): the shortest vector in the gradients' convex hull.

        min |Jᵀα|²  over α ≥ 0, sum α = 1          K = 2: α_1 = clip( (g_2 - g_1)·g_2 / |g_1 - g_2|², 0, 1 )
    No task loses to first order. The direction is dominated by the smallest gradient; unit=True takes all at norm 1 first,
    which is another method. A zero gradient is its shortest vector: training of the shared weights stops. Identical: g.
    """

    arguments = ("unit",)

    def __init__(self, unit: bool = False):
        self.unit = unit

    def solve(self, gram, at):
        if not self.unit:
            return nearest_to_zero(root(gram))
        norms, cosines = norms_and_cosines(gram)
        return np.divide(nearest_to_zero(root(cosines)), norms, out=np.zeros_like(norms), where=norms > 0)


class CAGrad(GradientMethod):
    """Conflict-averse gradient descent (Liu et al. 2021, eq. 2 and Alg. 1): near the mean, the worst-off task best.

        max over d of min_k g_k·d,   |d - g_0| ≤ c |g_0|,   g_0 the mean          d = g_0 + λ g_w, see solvers.py
    c = 0 is the mean, larger c nears MGDA; c = 0.4 in the paper's NYUv2. For c < 1 tasks may still lose. Identical: (1 + c) g.
    """

    arguments = ("c",)

    def __init__(self, c: float = 0.4):
        if c < 0:
            raise TaskError(f"c={c} must not be negative; 0 is the mean of the gradients.")
        self.c = c

    def solve(self, gram, at):
        mean = np.full(len(gram), 1 / len(gram))
        radius = self.c * math.sqrt(max(0.0, gram.mean()))
        if radius <= 1e-10 * math.sqrt(gram.max()):
            return mean
        weights, factor = conflict_averse(gram, radius)
        return mean + factor * weights


class IMTLG(GradientMethod):
    """IMTL-G (Liu et al. 2021): the direction whose projections on all unit gradients are equal.

        α = u / sum u,   G u = (|g_1|, ..., |g_K|)
    Weights may be negative, but where the gradients are independent no task loses. Where sum u = 0 there is no such
    direction: α = 0, and the shared weights rest for this step. A zero gradient has weight 0. Identical: g.
    """

    def solve(self, gram, at):
        norms, cosines = norms_and_cosines(gram)
        found = np.linalg.pinv(cosines, rcond=len(gram) * NOISE, hermitian=True) @ (norms > 0)
        found = np.divide(found, norms, out=np.zeros_like(norms), where=norms > 0)
        total = found.sum()
        return found / total if abs(total) > 1e-9 * np.abs(found).sum() else np.zeros_like(found)


class AlignedMTL(GradientMethod):
    """Aligned-MTL (Senushkin et al. 2023, Alg. 1): turn the gradients into orthogonal ones of the same norm, then average.

        G = V Λ Vᵀ,   α = √λ_min V Λ^(-1/2) Vᵀ w,   w = 1/K each
    Directions with λ ≤ noise are dropped. The norm is that of the weakest direction, so it shrinks in conflict. Identical: g.
    """

    def solve(self, gram, at):
        squares, vectors = np.linalg.eigh(gram)
        kept = squares > len(gram) * NOISE * squares[-1]
        vectors, squares = vectors[:, kept], squares[kept]
        return vectors @ (np.sqrt(squares[0] / squares) * vectors.mean(0))


class NashMTL(GradientMethod):
    """Nash-MTL (Navon et al. 2022, eq. 5): the bargain in which no task's relative gain could grow without more being lost.

        G α = 1/α,  α > 0;   therefore |Jᵀα|² = K, whatever the gradients' norms
    No task loses to first order: g_k·d = 1/α_k > 0. Identical gradients give √K g/|g|. Where the gradients can cancel
    there is no bargain: α = 0, and the shared weights rest for this step. A zero gradient has weight 0.
    """

    def solve(self, gram, at):
        return bargain(gram)
