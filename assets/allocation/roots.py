"""Find roots of monotone functions, one at a time or a whole array at once.

Method: Chandrupatla's bracketing (inverse quadratic steps where they are safe, halving where they
are not), so a
smooth function takes about ten evaluations and one with jumps never more than halving needs. Both
ends of the last
bracket are returned, because at a jump the answer is a mixture of the two sides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_EPS = 2.220446049250313e-16


def scalar_root(
    fun: Callable[[float], float], lo: float, hi: float, *, iterations: int = 200
) -> tuple[float, float, float]:
    """Bracket the sign change of `fun` on [lo, hi].

    Parameters
    ----------
    fun
        Finite function of one number whose signs at `lo` and `hi` differ (zero counts as found).
    lo, hi
        The bracket.
    iterations
        Most evaluations.

    Returns
    -------
    tuple of float
        (best, one end, other end) of the final bracket; the ends are neighbours up to 2 ulp.
    """
    a, b = hi, lo
    fa, fb = fun(a), fun(b)
    if fa == 0.0:
        return a, a, a
    if fb == 0.0:
        return b, b, b
    if (fa > 0) == (fb > 0):
        best = a if abs(fa) < abs(fb) else b
        return best, best, best
    c, fc, t = a, fa, 0.5
    for _ in range(iterations):
        x = a + t * (b - a)
        fx = fun(x)
        if (fx > 0) == (fa > 0):
            c, fc = a, fa
        else:
            c, fc, b, fb = b, fb, a, fa
        a, fa = x, fx
        best = b if abs(fb) < abs(fa) else a
        if fa == 0.0:
            return a, a, a
        tol = 2.0 * _EPS * abs(best) + 1e-300
        span = abs(b - a)
        if span <= 2.0 * tol:
            break
        limit = tol / span
        xi, ph = (a - b) / (c - b), (fa - fb) / (fc - fb)
        t = 0.5
        if ph * ph < xi and (1 - ph) * (1 - ph) < 1 - xi:
            t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (
                fc - fb
            )
        t = min(max(t, limit), 1.0 - limit)
    return (b if abs(fb) < abs(fa) else a), a, b


def array_root(
    fun: Callable[[Floats], Floats], lo: Floats, hi: Floats, *, iterations: int = 120
) -> Floats:
    """Solve `fun(x) = 0` element by element for brackets [lo, hi].

    Parameters
    ----------
    fun
        Takes and returns an array of the shape of `lo`; monotone in each element, finite.
    lo, hi
        Brackets, shape (n,). Where the signs at both ends agree, the end nearer to zero is
        returned.
    iterations
        Most evaluations.

    Returns
    -------
    ndarray of float64, shape (n,)
        The roots, to about 2 ulp.
    """
    a, b = np.array(hi, dtype=float), np.array(lo, dtype=float)
    if a.size == 0:
        return a
    fa, fb = fun(a), fun(b)
    stuck = (fa > 0) == (fb > 0)
    best = np.where(np.abs(fb) < np.abs(fa), b, a)
    c, fc = a.copy(), fa.copy()
    t = np.full(a.shape, 0.5)
    done = stuck | (fa == 0) | (fb == 0)
    fixed = best.copy()
    for _ in range(iterations):
        x = np.where(done, fixed, a + t * (b - a))
        fx = fun(x)
        same = (fx > 0) == (fa > 0)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        closer = np.abs(fb) < np.abs(fa)
        best = np.where(closer, b, a)
        tol = 2.0 * _EPS * np.abs(best) + 1e-300
        span = np.abs(b - a)
        fresh = ~done & ((span <= 2.0 * tol) | (fa == 0))
        fixed = np.where(fresh, np.where(fa == 0, a, best), fixed)
        done |= fresh
        if done.all():
            break
        with np.errstate(all="ignore"):
            limit = tol / span
            xi, ph = (a - b) / (c - b), (fa - fb) / (fc - fb)
            quad = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (
                fc - fb
            )
            use = (ph * ph < xi) & ((1 - ph) ** 2 < 1 - xi) & np.isfinite(quad)
        t = np.clip(np.where(use, quad, 0.5), np.minimum(limit, 0.5), np.maximum(1 - limit, 0.5))
    return np.where(done, fixed, best)
