"""The trace norm of the tasks' weights: how many directions do K tasks need?

For each weight tensor, the tasks' K versions of it, flattened, are the rows of a matrix M (K, P). Its trace norm is the
sum of its singular values σ (Yang & Hospedales 2017, their "last axis flattening"). Few large σ cost less than many: the
rows may be combinations of a few patterns, where the l2 norm wants copies of one mean. It also shrinks the weights
themselves, since copies of one row still have one σ > 0: choose much smaller strengths.

M is long and flat, so all is done on its K x K Gramian G = M Mᵀ: M = U Σ Vᵀ gives G = U Σ² Uᵀ.
"""

from __future__ import annotations

import torch


def trace_norm(stacks):
    """N stacks (K, P) -> their N norms, and N gradients (K, P).

    The gradient is U Vᵀ = G^(-1/2) M. Where a σ is 0, as for the equal backbones of the start, the norm has a kink: of
    all its slopes there we take the smallest, which leaves that direction alone. Differentiating the square root would
    give 0 / 0.
    """
    sigma, vectors = spectrum(stacks)
    there = sigma > 1e-6 * sigma.max(-1, keepdim=True).values
    roots = rescaled(vectors, torch.where(there, 1 / sigma, 0.0)).to(stacks[0])                    # G^(-1/2): (N, K, K)
    return sigma.sum(-1).to(stacks[0]).unbind(), [root @ stack for root, stack in zip(roots, stacks)]


def shrink_singular_values(side_by_side, price):
    """The proximal step of price x trace norm, in place: σ <- max(σ - price, 0). The tensors of K tasks at a time."""
    stacks = [torch.stack(tensors).flatten(1) for tensors in side_by_side]                         # (K, P) each
    sigma, vectors = spectrum(stacks)
    kept = torch.where(sigma > price, 1 - price / sigma, 0.0)                                      # σ_new / σ
    for tensors, stack, mixing in zip(side_by_side, stacks, rescaled(vectors, kept).to(stacks[0])):
        torch._foreach_copy_(tensors, [row.view_as(tensors[0]) for row in mixing @ stack])


def spectrum(stacks):
    """N stacks (K, P) -> σ (N, K) and U (N, K, K), in float64. The small σ need care: G is put together from the mean and
    the distances to it."""
    grams = torch.stack([gram(stack) for stack in stacks]).cpu().double()                          # (N, K + 1, K + 1)
    whole, cross, apart = grams[:, :1, :1], grams[:, 1:, :1], grams[:, 1:, 1:]
    squares, vectors = torch.linalg.eigh(whole + cross + cross.mT + apart)                         # (N, K), (N, K, K)
    return squares.clamp(min=0).sqrt(), vectors


def gram(stack):
    """Dot products of the mean θ̄ and the K distances θ_k - θ̄ with one another: (K + 1, K + 1)."""
    mean = stack.mean(0, keepdim=True)                                                             # (1, P)
    parts = torch.cat([mean, stack - mean])                                                        # (K + 1, P)
    return parts @ parts.T


def rescaled(vectors, scales):
    """U (N, K, K) and N x K scales -> U diag(scales) Uᵀ: (N, K, K)."""
    return vectors * scales[:, None, :] @ vectors.mT
