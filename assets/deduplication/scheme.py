"""All that must be equal before two signatures may be compared, as one line of text."""

from __future__ import annotations

from dataclasses import dataclass

from assets.deduplication.errors import IndexSchemeError
from assets.deduplication.minhash import Permutations, permutations
from assets.deduplication.normalise import parse_normalisation
from assets.deduplication.shingles import SHINGLE_TAG, Shingle, parse_shingle


@dataclass(frozen=True)
class Scheme:
    """How signatures were made.

    Attributes
    ----------
    shingle
        `word:N` or `char:N`.
    normalise
        What texts were normalised to before (see `normalise`).
    hashes, seed
        Of the permutations; both as datasketch's `num_perm` and `seed`.
    hashing
        Name and version of the shingle hash, and of the Unicode rules.
    """

    shingle: str
    normalise: str
    hashes: int
    seed: int
    hashing: str = SHINGLE_TAG

    def __str__(self) -> str:
        return "/".join(
            (
                "affine32",
                str(self.hashes),
                f"seed-{self.seed}",
                self.hashing,
                self.shingle,
                f"text-{self.normalise}",
            )
        )

    @property
    def rule(self) -> Shingle:
        """The shingle setting, read."""
        return parse_shingle(self.shingle)

    @property
    def drawn(self) -> Permutations:
        """The permutations."""
        return permutations(self.hashes, seed=self.seed)

    @classmethod
    def read(cls, tag: str, where: str) -> Scheme:
        """Read what `str` wrote; `where` names its place in errors.

        Raises
        ------
        IndexSchemeError
            The tag is not one, or names hashes or Unicode rules that this program does not compute.

        Examples
        --------
        >>> made = Scheme("word:5", "none", 145, 1)
        >>> Scheme.read(str(made), "index") == made
        True
        """
        try:
            family, hashes, seed, name, unicode, shingle, normalise = tag.split("/")
            steps = normalise.removeprefix("text-")
            parse_shingle(shingle)
            parse_normalisation(steps)
            made = cls(
                shingle, steps, int(hashes), int(seed.removeprefix("seed-")), f"{name}/{unicode}"
            )
        except ValueError as error:
            message = f"{where}: {tag!r} names no scheme of signatures; write the index anew"
            raise IndexSchemeError(message) from error
        if family != "affine32" or made.hashing != SHINGLE_TAG:
            message = (
                f"{where} was made with {family}/{made.hashing} and this program computes "
                f"affine32/{SHINGLE_TAG}; signatures of different schemes can't be compared: "
                "write the index anew"
            )
            raise IndexSchemeError(message)
        return made
