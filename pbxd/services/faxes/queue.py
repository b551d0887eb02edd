"""Which fax is next: by priority, then by age, with limits for all and for each trunk. Pure: `now` is an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator

from pbxd.services.faxes.job import FaxJob


class Queue:
    """The jobs that have not ended; `active` are those that somebody carries just now."""

    def __init__(self, at_once: int, per_trunk: int) -> None:
        self.at_once = at_once
        self.per_trunk = per_trunk
        self._jobs: dict[str, FaxJob] = {}
        self._active: dict[str, str] = {}  # job to trunk

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[FaxJob]:
        return iter(tuple(self._jobs.values()))

    @property
    def active(self) -> Collection[str]:
        return self._active.keys()

    def get(self, job_id: str) -> FaxJob | None:
        return self._jobs.get(job_id)

    def put(self, job: FaxJob) -> None:
        """Takes a job up, or takes note of what became of it; one that has ended is let go."""
        if job.state.ended:
            self._jobs.pop(job.id, None)
        else:
            self._jobs[job.id] = job

    def due(self, now: float, trunk_of: Callable[[FaxJob], str]) -> list[FaxJob]:
        """The jobs to begin at `now`, best first; they count as active from then on."""
        waiting = [job for job in self._jobs.values() if job.due_at <= now and job.id not in self._active]
        waiting.sort(key=lambda job: (-job.priority, job.due_at, job.created_at, job.id))
        used = Counter(self._active.values())
        chosen: list[FaxJob] = []
        for job in waiting:
            if len(self._active) >= self.at_once:
                break
            trunk = trunk_of(job)
            if used[trunk] < self.per_trunk:
                used[trunk] += 1
                self._active[job.id] = trunk
                chosen.append(job)
        return chosen

    def done(self, job_id: str) -> None:
        """Nobody carries it any more."""
        self._active.pop(job_id, None)

    def next_due(self) -> float | None:
        """When the next job that waits is due; None where none does."""
        return min((job.due_at for job in self._jobs.values() if job.id not in self._active), default=None)
