"""What other tools take for the same work: one tool a process, run by `near_duplicates.py`.

    PEERS/bin/python benchmarks/near/peers.py TOOL CORPUS.parquet FOLDER

All of them with 14 bands of 8 hashes over word 5-grams, from the Parquet file to clusters (or, where a tool
has none, to the texts that share a band). None of them verifies its pairs. Times begin after imports.
Needs nothing of Sluice; install the tools into an environment of their own:

    python -m venv PEERS && PEERS/bin/pip install daft datatrove tokenizers rensa datasketch text-dedup \
        'xxhash<4' pyarrow scipy
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import resource
import sys
import time
from pathlib import Path

BANDS, ROWS, WORDS = 14, 8, 5
TOKEN = re.compile(r"\w+")


def clock() -> tuple[float, float]:
    """Return wall seconds, and CPU seconds of this process and its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used)


def peak_megabytes() -> float:
    """Return the highest memory of this process so far, without what a parent held before it began."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(row for row in status if row.startswith("VmHWM")).split()[1]) / 1024


def texts_of(corpus: Path) -> list[str]:
    """Read the text column."""
    import pyarrow.parquet as pq

    return pq.read_table(corpus, columns=["text"])["text"].to_pylist()


def shingles(text: str) -> list[str]:
    """Return the word shingles of a text as plain Python makes them."""
    words = TOKEN.findall(text.lower())
    return [" ".join(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1))]


def banded(signatures) -> int:
    """Cluster (n, hashes) signatures by a sort of packed numbers a band; return how many texts have a twin."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(signatures)
    left, right = [], []
    for band in range(BANDS):
        key = np.full(count, band, np.uint64)
        for row in range(ROWS):
            key = (key ^ signatures[:, band * ROWS + row]) * np.uint64(0xD6E8FEB86659FD93)
            key ^= key >> np.uint64(32)
        packed = (key & np.uint64(0xFFFFFFFF00000000)) | np.arange(count, dtype=np.uint64)
        packed.sort()
        same = (packed[1:] >> np.uint64(32)) == (packed[:-1] >> np.uint64(32))
        place = (packed & np.uint64(0xFFFFFFFF)).astype(np.int64)
        left.append(place[:-1][same])
        right.append(place[1:][same])
    one, two = np.concatenate(left), np.concatenate(right)
    graph = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    return int((np.bincount(label)[label] > 1).sum())


def daft(corpus: Path, folder: Path):
    """Daft's minhash expression, with our banding behind it."""
    import daft
    import numpy as np

    daft.set_runner_native()

    def run() -> int:
        signature = daft.col("text").minhash(num_hashes=BANDS * ROWS, ngram_size=WORDS, seed=1)
        column = daft.read_parquet(str(corpus)).select(signature.alias("s")).to_arrow()["s"]
        flat = np.concatenate([np.asarray(chunk.flatten()) for chunk in column.chunks])
        return banded(flat.reshape(-1, BANDS * ROWS))

    return run


def rensa(corpus: Path, folder: Path):
    """rensa's bulk R-MinHash over Python's shingles, and its own bands."""
    from rensa import RMinHash, RMinHashLSH

    def run() -> int:
        sets = [shingles(text) for text in texts_of(corpus)]
        matrix = RMinHash.digest_matrix_from_token_sets(sets, BANDS * ROWS, 1)
        index = RMinHashLSH(threshold=0.7, num_perm=BANDS * ROWS, num_bands=BANDS)
        return sum(index.query_duplicate_flags_matrix_one_shot(matrix))

    return run


def datasketch(corpus: Path, folder: Path):
    """datasketch's MinHash in bulk, with its LSH."""
    from datasketch import MinHash, MinHashLSH

    def run() -> int:
        sets = ([s.encode() for s in shingles(text)] for text in texts_of(corpus))
        index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        found = set()
        for place, one in enumerate(MinHash.generator(sets, num_perm=BANDS * ROWS)):
            near = index.query(one)
            if near:
                found.update(near, [place])
            index.insert(place, one, check_duplication=False)
        return len(found)

    return run


def text_dedup(corpus: Path, folder: Path):
    """text-dedup's MinHash command with two processes and its fast hash; it writes what it keeps."""
    os.environ["HF_HOME"] = str(folder / "hf")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from text_dedup import minhash

    options = {
        "path": "parquet",
        "data_files": corpus,
        "split": "train",
        "cache_dir": folder / "cache",
        "output": folder / "text_dedup",
        "column": "text",
        "num_perm": BANDS * ROWS,
        "b": BANDS,
        "r": ROWS,
        "ngram": WORDS,
        "threshold": 0.7,
        "hash_func": "xxh3",
        "num_proc": 2,
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]

    def run() -> int:
        minhash.main(arguments, standalone_mode=False)
        return 0

    return run


def datatrove(corpus: Path, folder: Path):
    """datatrove's four stages, two workers, a regular expression for words; the last one writes what is kept."""
    import pyarrow.parquet as pq
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import minhash as stages
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.word_tokenizers import WordTokenizer
    from loguru import logger

    logger.remove()

    class Words(WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return TOKEN.findall(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    source, work = folder / "source", folder / "datatrove"
    source.mkdir(parents=True)
    with pq.ParquetFile(corpus) as file:
        half = (file.metadata.num_row_groups + 1) // 2
        for part in range(2):
            groups = range(part * half, min((part + 1) * half, file.metadata.num_row_groups))
            if groups:
                pq.write_table(
                    file.read_row_groups(groups, columns=["text"]), source / f"{part}.parquet"
                )
    settings = stages.MinhashConfig(n_grams=WORDS, num_buckets=BANDS, hashes_per_bucket=ROWS)

    def stage(tasks: int, name: str, *steps) -> None:
        LocalPipelineExecutor(
            pipeline=list(steps),
            tasks=tasks,
            workers=min(2, tasks),
            logging_dir=str(work / name),
            start_method="fork",  # so that the workers' CPU seconds are counted
        ).run()

    def run() -> int:
        read = ParquetReader(str(source))
        stage(
            2,
            "1",
            read,
            stages.MinhashDedupSignature(str(work / "s"), config=settings, language=Words()),
        )
        stage(
            BANDS,
            "2",
            stages.MinhashDedupBuckets(str(work / "s"), str(work / "b"), config=settings),
        )
        stage(1, "3", stages.MinhashDedupCluster(str(work / "b"), str(work / "r"), config=settings))
        stage(
            2, "4", read, stages.MinhashDedupFilter(str(work / "r")), ParquetWriter(str(work / "o"))
        )
        return 0

    return run


def xxh3(corpus: Path, folder: Path):
    """A 64-bit hash of every text, one call each: the least that exact duplicates cost in Python."""
    import xxhash

    def run() -> int:
        return len({xxhash.xxh3_64_intdigest(text.encode()) for text in texts_of(corpus)})

    return run


TOOLS = {
    "daft": (daft, "daft"),
    "rensa": (rensa, "rensa"),
    "datasketch": (datasketch, "datasketch"),
    "text-dedup": (text_dedup, "text-dedup"),
    "datatrove": (datatrove, "datatrove"),
    "xxh3": (xxh3, "xxhash"),
}


def main() -> None:
    """Run one tool and print a line of JSON."""
    name, corpus, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    make, package = TOOLS[name]
    try:
        run = make(corpus, folder)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    begin, cpu = clock()
    found = run()
    end, used = clock()
    print(
        json.dumps(
            {
                "wall_seconds": end - begin,
                "cpu_seconds": used - cpu,
                "clustered": found,
                "peak_megabytes": peak_megabytes(),
                "version": importlib.metadata.version(package),
            }
        )
    )


if __name__ == "__main__":
    main()
