"""KNN-Shapley values by pyDVL, in a process of an environment that has it; reads and writes files.

Usage: python pydvl_values.py IN.npz OUT.npz. IN holds x (distances of all rows to the train rows, which come
first), y, train (their number) and ks; OUT gets one array k<K> a K.
"""

import sys

import numpy as np
from pydvl.valuation.dataset import Dataset
from pydvl.valuation.methods.knn_shapley import KNNShapleyValuation
from sklearn.neighbors import KNeighborsClassifier


def main(source, target):
    with np.load(source) as given:
        x, y, n, ks = given["x"], given["y"], int(given["train"]), given["ks"].tolist()
    values = {}
    for k in ks:
        model = KNeighborsClassifier(n_neighbors=k, metric="precomputed")
        valuation = KNNShapleyValuation(model, Dataset(x[n:], y[n:]), progress=False)
        valuation.fit(Dataset(x[:n], y[:n]))
        by_row = np.empty(n)
        by_row[valuation.result.indices] = valuation.result.values
        values[f"k{k}"] = by_row
    np.savez(target, **values)


if __name__ == "__main__":
    main(*sys.argv[1:])
