"""Published constants (Goyal et al., CVPR 2024, released parameters) and curves made from them."""

from __future__ import annotations

import numpy as np
import polars as pl

from assets.filtering import saturation, utility

SIZE = 12.8e6
POOLS = ("top10", "top20", "top30", "top40", "random")
UTILITY = {
    "b": np.array([-0.16, -0.125, -0.10, -0.085, -0.12]),
    "tau": np.array([74 / 11, 94 / 11, 58 / 11, 25 / 11, 6.0]),
    "anchor": 4e6,
}
DATA = {
    "b": np.array(
        [
            -0.18227272727272728,
            -0.14484848484848487,
            -0.1353030303030303,
            -0.09757575757575758,
            -0.141969696969697,
        ]
    ),
    "tau": np.array([4.0, 48 / 11, 32 / 11, 16 / 11, 38 / 11]),
    "anchor": 1e5 / 0.022,
}
BUDGETS = (32e6, 64e6, 128e6, 640e6, 1280e6)
# predicted error of nested unions of the four buckets; rows: budgets, columns: top 1..4
CODE_UTILITY = [
    (0.8175287362543828, 0.8416394371545322, 0.8657789985471914, 0.8832256945650481),
    (0.753789637082097, 0.7669856580112071, 0.7960198040392135, 0.8201107546999951),
    (0.7127099872429347, 0.7040003405525712, 0.7323403787915516, 0.7587190166530328),
    (0.6882421336379344, 0.6144756496831194, 0.6243515070972889, 0.648641053484556),
    (0.6881311021736339, 0.6022224185205022, 0.599561011909455, 0.6189969979597545),
]
PAPER_UTILITY = [
    (0.8296401063147294, 0.844628578910694, 0.8657789985471914, 0.8832256945650481),
    (0.7727532948375598, 0.7785797045117626, 0.8021572197567152, 0.822611352748685),
    (0.7360899229622847, 0.7228543364253672, 0.7459865466645151, 0.7685182115193195),
    (0.7142524920391347, 0.6436486333692982, 0.6507311704430303, 0.6715269387953192),
    (0.7141533970399946, 0.6328077605383725, 0.6288638436640295, 0.6454071361455296),
]
EFFECTIVE_DATA = [
    (0.8175131636305031, 0.8286476845307722, 0.8402083020040321, 0.8609214515768168),
    (0.7542053351994678, 0.7557625093090893, 0.7677142237034493, 0.7916564765982287),
    (0.7136646232511135, 0.6946837075144403, 0.7045282975292301, 0.7305952522061167),
    (0.6923057208325083, 0.6097686429636434, 0.5990978432810107, 0.620812025402534),
    (0.6922870850189503, 0.6000793928946918, 0.5757353273569118, 0.5902903531741941),
]


def error(law, n, pool, form="paper", floor=0.1, unique=SIZE):
    p = UTILITY if law == "utility" else DATA
    kw = {"b": p["b"][pool], "tau": p["tau"][pool], "floor": floor, "anchor": p["anchor"]}
    if law == "utility":
        return utility.error(n, unique, form=form, **kw)
    return saturation.error(n, unique, **kw)


def curves(
    law="utility",
    form="paper",
    *,
    sd=0.0,
    seed=0,
    pools=range(5),
    epochs=(2, 4, 6, 8, 10),
    sizes=(SIZE,),
):
    rng = np.random.default_rng(seed)
    rows = []
    for pool in pools:
        for unique in sizes:
            for epoch in epochs:
                n = epoch * unique
                value = float(error(law, n, pool, form, unique=unique)) + sd * rng.standard_normal()
                rows.append((POOLS[pool], unique, n, value))
    return pl.DataFrame(
        rows, schema=["pool", "pool_unique", "samples_seen", "metric_value"], orient="row"
    )
