"""Reports what a pass did: status, conditions, Events, metrics and log, all from the one decision."""

import logging
from typing import Any

from workqueue_broker.errors import QueueMismatch

from workqueue_operator.clock import Clock
from workqueue_operator.cluster.port import Cluster, ClusterError, Notice
from workqueue_operator.metrics import Metrics
from workqueue_operator.passes.apply import Outcome
from workqueue_operator.passes.gather import Nothing, Observation
from workqueue_operator.passes.refusal_log import RefusalLog
from workqueue_operator.rabbitmq import queue_policy
from workqueue_operator.rabbitmq.leader import SETTLED_SECONDS
from workqueue_operator.rabbitmq.queue_policy import Verdict
from workqueue_operator.scaling.decision import NO_LEADER, Reason, Unknown
from workqueue_operator.status import condition_events, conditions
from workqueue_operator.status.conditions import Condition, Findings
from workqueue_operator.status.next_status import RECENT_DECISIONS, Change, Pass, is_due, next_status, timestamp
from workqueue_operator.tracked import Tracked

log = logging.getLogger(__name__)


class Reporter:
    """Writes what people read."""

    def __init__(self, cluster: Cluster, metrics: Metrics, clock: Clock) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._clock = clock
        self._refusals = RefusalLog(metrics, clock)

    async def report(self, tracked: Tracked, seen: Observation, outcome: Outcome) -> None:
        """Report a decision; what the API server refuses is written at a later pass."""
        memory, reported, decision = tracked.memory, tracked.memory.reported, outcome.decision
        if decision.differs_from(reported.decision):
            self._metrics.decisions.labels(decision.reason).inc()
            log.info("%s: %s: %s", tracked.key, decision.reason, decision.message)
        reported.decision, reported.replicas = decision, outcome.target.replicas
        if outcome.changed:  # kept until it is written, as the next pass finds nothing changed
            reported.changes = [*reported.changes, Change(decision, timestamp(self._clock.wall()))][-RECENT_DECISIONS:]
            tracked.notices.append(Notice(decision.reason, decision.message))
        reading = decision.reading
        trouble = tracked.last.trouble
        mismatch = trouble if isinstance(trouble, QueueMismatch) else None
        unknown, now = reading if isinstance(reading, Unknown) else None, self._clock.monotonic()
        found = Findings(
            seen.workqueue.mode,
            unknown,
            settling=bool(unknown and unknown.cause == NO_LEADER and memory.history.unknown_for(now) < SETTLED_SECONDS),
            mismatch=str(mismatch) if mismatch else None,
            obstacle=seen.obstacle,
            refusal=memory.refusal,
            disputes=seen.disputes,
        )
        await self._write(
            tracked,
            Pass(
                generation=seen.workqueue.generation,
                conditions=[*conditions.of_decision(decision, found), *_policy(tracked), *self._limits(tracked)],
                replicas=outcome.target.replicas,
                ready=outcome.target.ready,
                reading=reading,
                decision=decision,
                changes=reported.changes,
                tasks_in_progress=outcome.tasks_in_progress,
            ),
        )

    async def report_nothing(self, tracked: Tracked, nothing: Nothing) -> None:
        """Report why there is nothing to decide about, and what is known of the queue all the same."""
        memory, reported, reading = tracked.memory, tracked.memory.reported, nothing.reading
        reported.decision = reported.replicas = None
        queue = [conditions.queue_observed(reading if isinstance(reading, Unknown) else None)] if reading else []
        unseen = conditions.of_unseen_target(memory.refusal) if nothing.trouble and memory.refusal else []
        found = [*queue, *nothing.conditions, *unseen, *_policy(tracked), *self._limits(tracked)]
        await self._write(tracked, Pass(tracked.generation, found, reading=reading, changes=reported.changes))

    async def _write(self, tracked: Tracked, made: Pass) -> None:
        """Write the status, then the Events about it. Nothing while a refusal of it stands."""
        reported = tracked.memory.reported
        status = next_status(reported.status, made, timestamp(self._clock.wall()))
        reported.conditions = status["conditions"]
        if reported.refusal and reported.refusal.stands(self._clock.monotonic()):
            return
        try:
            judged = made.decision is not None and tracked.sharers is not None
            await self._write_status(tracked, status, judged=judged)
            await self._post_events(tracked)
        except ClusterError as error:  # the decision was carried out all the same
            reported.refusal = self._refusals.note(tracked.key, reported.refusal, error)
        else:
            reported.refusal = None

    async def _write_status(self, tracked: Tracked, status: dict[str, Any], *, judged: bool) -> None:
        """Write it if it is due. The Events that are owed about its conditions wait until it is written."""
        reported, now = tracked.memory.reported, self._clock.monotonic()
        owed = condition_events.owed(status["conditions"], reported.open_warnings, tracked.notices, judged=judged)
        status["openWarnings"] = condition_events.to_store(reported.open_warnings, [*tracked.notices, *owed])
        if is_due(reported.status, status, now - reported.written_at):
            if not tracked.writes.take(now):
                return  # what is due and not written is due at the next pass
            await self._cluster.write_status(tracked.key, status)
            self._metrics.api_writes.labels("status").inc()
            reported.status, reported.written_at, reported.changes = status, now, []
        tracked.notices.extend(owed)

    async def _post_events(self, tracked: Tracked) -> None:
        """Post what waits, oldest first; what could not be posted stays."""
        reported = tracked.memory.reported
        while tracked.notices:
            notice = tracked.notices[0]
            if not condition_events.is_news(notice, reported.open_warnings):
                tracked.notices.popleft()
                continue
            if not tracked.writes.take(self._clock.monotonic()):
                return
            await self._cluster.post_event(tracked.key, tracked.uid, notice)
            self._metrics.api_writes.labels("event").inc()
            reported.open_warnings = condition_events.open_after(notice, reported.open_warnings)
            if not isinstance(notice.reason, Reason):  # a decision was logged when it was taken
                log.info("%s: %s: %s", tracked.key, notice.reason, notice.message)
            if tracked.notices and tracked.notices[0] is notice:  # a full queue may have dropped it since
                tracked.notices.popleft()

    def _limits(self, tracked: Tracked) -> list[Condition]:
        """Only for a WorkQueue that has ever met the limit of its writes."""
        stored = (one["type"] for one in tracked.memory.reported.status.get("conditions") or ())
        limited = tracked.writes.is_limited(self._clock.monotonic())
        return [conditions.of_writes(limited)] if limited or conditions.WRITES_LIMITED in stored else []


def _policy(tracked: Tracked) -> list[Condition]:
    """What is known of the queue's policy; nothing while the broker is not."""
    spec, checked = tracked.workqueue, tracked.policy
    if spec is None or isinstance(tracked.address, Exception):
        return []
    verdict = checked.verdict if checked else None
    if checked and (checked.queue, checked.mode) != (spec.queue, spec.mode):
        verdict = Verdict(None, queue_policy.PENDING, "spec.queue or spec.mode changed since the last look")
    asked_for, stored = queue_policy.is_asked_for(spec.queue), tracked.memory.reported.status.get("conditions") or ()
    last = (one for one in stored if one["type"] == conditions.POLICY_APPLIED)
    same = (one for one in last if one.get("observedGeneration") == tracked.generation)
    return conditions.of_policy(verdict, asked_for, next(same, None))
