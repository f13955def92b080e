"""A stage whose tables are written in partitions, one run a partition, each on top of those before it.

The partitions of one table stand on one state of what they read: that which the first of them read is pinned for all
(until the table begins anew), so that a release in between changes nothing of them. What is there stays, also under
newer code: a partition is known by its settings and what it reads, not by the code that wrote it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from resources import delta
from resources.delta_partition import commit_partition, partition_commit
from resources.errors import RecipeError
from resources.run import Run
from resources.stage import Stage
from resources.stage_spec import Committed, StageSpec, digest


class PartitionStage(Stage):
    """One execution of a stage for one partition.

    Parameters
    ----------
    partition
        Number of the partition.

    Attributes
    ----------
    anew
        Whether the tables begin anew with this partition: it is the first, and none stands or the run was asked to.
    """

    def __init__(self, run: Run, spec: StageSpec, partition: int) -> None:
        marker = run.uri(spec.tables[-1])
        newest = next((metadata for _, metadata in delta.commits(marker, 1)), None)
        self.partition = partition
        self.anew = partition == 0 and (newest is None or run.restart)
        if newest is not None and not self.anew:
            run.pin(newest["reads"])
        super().__init__(run, spec)
        without_code = replace(spec, code_version="")
        self.fingerprint = digest([run.fingerprint(without_code), partition])

    def adopt(self) -> list[Committed] | None:
        """Take over the partition if it stands as this stage would write it, or return None."""
        if self.anew:
            return None
        found = []
        for table in self.spec.tables:
            uri = self.run.uri(table)
            metadata = partition_commit(uri, self.partition)
            newest = delta.open_table(uri)
            if newest is None or metadata is None or metadata["fingerprint"] != self.fingerprint:
                return None
            version = newest.version()
            if not delta.is_whole(uri, version):
                return None
            found.append(Committed(table, version, str(metadata["identity"]), adopted=True))
        for item in found:
            self.run.record(item)
        return found

    def _land(self, table: str, metadata: dict[str, Any]) -> int:
        column = self.spec.partition
        if column is None:
            message = f"{self.spec.name} has no partitions"
            raise RecipeError(message)
        return commit_partition(
            self._staged[table],
            column,
            self.partition,
            {**metadata, "partition": self.partition},
            alone=self.anew,
        )
