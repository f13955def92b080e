"""Pure building blocks for every stage: encodings, hashes, ids, sketches, top-k, k-means."""
