"""Which fax is next, and how many at a time."""

from __future__ import annotations

from dataclasses import replace

from pbxd.services.faxes.job import FaxJob, JobState
from pbxd.services.faxes.queue import Queue


def job(name: str, due_at: float = 0.0, priority: int = 0, to: str = "1") -> FaxJob:
    return FaxJob(
        id=name,
        account_id="acc_1",
        to=to,
        state=JobState.QUEUED,
        backend="sip",
        idempotency_key=name,
        priority=priority,
        file_name="",
        sha256="",
        ident="",
        header="",
        detail="fine",
        created_at=due_at,
        updated_at=0.0,
        due_at=due_at,
    )


def trunk(one: FaxJob) -> str:
    return one.to[0]


def test_priority_goes_before_age_and_nothing_before_its_time() -> None:
    queue = Queue(at_once=10, per_trunk=10)
    for one in (job("young", 2.0), job("old", 1.0), job("urgent", 3.0, priority=1), job("later", 9.0, priority=5)):
        queue.put(one)
    assert queue.next_due() == 1.0
    assert [one.id for one in queue.due(5.0, trunk)] == ["urgent", "old", "young"]
    assert queue.due(5.0, trunk) == []
    assert queue.next_due() == 9.0
    assert [one.id for one in queue.due(9.0, trunk)] == ["later"]


def test_a_trunk_that_is_full_holds_up_its_own_alone() -> None:
    queue = Queue(at_once=4, per_trunk=2)
    for number in range(4):
        queue.put(job(f"a{number}", number, to="a"))
        queue.put(job(f"b{number}", 10 + number, to="b"))
    assert [one.id for one in queue.due(99.0, trunk)] == ["a0", "a1", "b0", "b1"]
    queue.put(replace(job("b0"), state=JobState.FAILED))
    queue.done("b0")
    assert [one.id for one in queue.due(99.0, trunk)] == ["b2"]
    queue.done("a0")
    queue.put(replace(job("a0"), state=JobState.SUCCESS))
    assert [one.id for one in queue.due(99.0, trunk)] == ["a2"]
    assert (len(queue), sorted(queue.active)) == (6, ["a1", "a2", "b1", "b2"])
