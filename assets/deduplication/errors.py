"""The errors of this stage: each names the setting or the row at fault and the remedy."""

from __future__ import annotations


class DeduplicationError(ValueError):
    """Base of the errors that finding duplicates can raise."""


class ShingleSettingError(DeduplicationError):
    """The setting `shingle` is not `word:N` or `char:N`."""


class NormalisationSettingError(DeduplicationError):
    """The setting `normalise` names a step that does not exist."""


class SimilarityError(DeduplicationError):
    """A similarity, share or banding lies outside its range."""


class KeyFormatError(DeduplicationError):
    """A key is not 32 lower-case hexadecimal digits."""


class ChangedTextError(DeduplicationError):
    """The second pass saw another text under a key than the first, or no text at all."""


class PairBudgetError(DeduplicationError):
    """Writing every pair out would exceed the stated limit."""


class RankError(DeduplicationError):
    """The survivor order lacks a key or names one twice."""


class IndexSchemeError(DeduplicationError):
    """An index is missing, or was made under another scheme than what it is compared with."""


class SurvivorOrderError(DeduplicationError):
    """A wish of the survivor order is not known."""
