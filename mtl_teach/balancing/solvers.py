"""The small problems inside the gradient methods, on the K x K Gramian G = J Jᵀ of the tasks' gradients.

K is the number of tasks, so these take fractions of a millisecond, however many weights the model has. All numbers are
float64 on the CPU. The quadratic problems are non-negative least squares, for which scipy's solver is exact: it stops
at a point that satisfies the optimality conditions, where Frank-Wolfe with a few iterations is only near it.
"""

from __future__ import annotations

import numpy as np

SMALL = 1e-12                                         # relative: below it a norm counts as zero
FUTILE = 1e4


def norms_and_cosines(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """gram (K, K) -> norms (K,) and cosines (K, K); a zero gradient has cosine 0 with all, itself included."""
    norms = np.sqrt(np.clip(np.diag(gram), 0, None))
    norms[norms <= SMALL * norms.max(initial=0)] = 0
    inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    return norms, gram * inverse[:, None] * inverse[None, :]


def root(gram: np.ndarray) -> np.ndarray:
    """R (K, K) with RᵀR = gram: column k is the k-th gradient in coordinates of the space they span.

    Directions that only rounding has made are cut to exactly 0: a solver would use them, with enormous weights.
    """
    squares, vectors = np.linalg.eigh(gram)
    squares[squares < SMALL * squares[-1]] = 0
    return np.sqrt(squares)[:, None] * vectors.T


def nearest_to_zero(points: np.ndarray) -> np.ndarray:
    """points (D, K), one a column -> the weights (K,) of the shortest convex combination of them.

    min |points z|² + (sum z - 1)², z ≥ 0, has its solution on the ray of the one sought, which follows by scaling to
    sum 1: at both, points on the support have the same inner product with the combination, and no other has a smaller one.
    """
    from scipy.optimize import nnls
    size = np.sqrt((points**2).sum(0)).max()
    if size == 0:
        return np.full(points.shape[1], 1 / points.shape[1])
    rows = np.vstack([points / size, np.ones(points.shape[1])])
    found, _ = nnls(rows, np.append(np.zeros(len(points)), 1.0))
    return found / found.sum()


def onto_dual_cone(gram: np.ndarray) -> np.ndarray:
    """Each gradient projected onto the directions that no task opposes, {x: Jx ≥ 0}; row k holds its weights (K, K).

    The projection of g_k is Jᵀv with v the solution of  min |Jᵀv|², v ≥ e_k  (Quinton & Rey 2024, Prop. 1). With
    v = e_k + z this is non-negative least squares in z. Solved for unit gradients, so that a gradient of a
    hundredth of the others' norm is treated as exactly as they are.
    """
    from scipy.optimize import nnls
    norms, cosines = norms_and_cosines(gram)
    there, weights = np.flatnonzero(norms), np.zeros_like(gram)                       # zero gradients oppose nothing
    columns = root(cosines[np.ix_(there, there)])
    found = np.eye(len(there)) + np.stack([nnls(columns, -column)[0] for column in columns.T])
    weights[np.ix_(there, there)] = found * norms[there, None] / norms[None, there]
    return weights


def bargain(gram: np.ndarray, steps: int = 100) -> np.ndarray:
    """α (K,) > 0 with  G α = 1/α  (Navon et al. 2022, eq. 5): the minimum of ½ αᵀGα - sum log α, by damped Newton.

    The function is self-concordant, so steps of 1 / (1 + δ), δ the Newton decrement, always arrive. Solved for unit
    gradients, for which α starts near 1. A zero gradient gets weight 0: it has nothing to bargain with. Where some
    convex combination of the gradients is (nearly) zero there is no bargain: α would grow without end to a direction that
    gains nothing. All weights are 0 if it exceeds FUTILE, that is, if a task's cosine with the direction is below 1e-4.
    """
    norms, cosines = norms_and_cosines(gram)
    there = norms > 0
    cosines = cosines[np.ix_(there, there)] + SMALL * np.eye(there.sum())
    alpha = np.ones(len(cosines)) / np.sqrt(max(1.0, cosines.sum(1).mean()))
    for _ in range(steps):
        slope = alpha * (cosines @ alpha) - 1                                         # in units of log α
        step = -np.linalg.solve(alpha[:, None] * cosines * alpha + np.eye(len(alpha)), slope)
        decrement = np.sqrt(max(0.0, -slope @ step))
        alpha = alpha * (1 + step / (1 + decrement if decrement > 0.2 else 1))
        if decrement < 1e-9 or alpha.max() > FUTILE:
            break
    found = np.zeros(len(gram))
    if alpha.max() < FUTILE:
        found[there] = alpha / norms[there]
    return found


def conflict_averse(gram: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """w (K,) in the simplex and λ, so that  g_0 + λ g_w  is the step of CAGrad within `radius` of the mean gradient g_0.

    The paper minimises g_wᵀg_0 + radius |g_w| (eq. 3 ff.). For a given λ, the w that minimises g_wᵀg_0 + λ/2 |g_w|² is
    the point nearest to zero among the g_k + g_0/λ; both agree where λ |g_w| = radius, and the left side grows with λ.
    """
    from scipy.optimize import brentq
    columns = root(gram)                                                              # (K, K)
    mean = columns.mean(1)
    unit = np.sqrt((columns**2).sum(0)).max()

    def weights(log):
        return nearest_to_zero(columns + (mean / np.exp(log))[:, None])

    def missing(log):
        return np.exp(log) * np.linalg.norm(columns @ weights(log)) - radius
    low, high = np.log(1e-4 * radius / unit), np.log(1e4)
    if missing(high) <= 0:                            # the gradients (nearly) cancel: no task need lose anything
        return weights(high), float(np.exp(high))
    log = brentq(missing, low, high, xtol=1e-10, rtol=1e-12)
    return weights(log), float(np.exp(log))
