"""KEDA with the HorizontalPodAutoscaler that it makes, as a model: its rules and their sources stand in `Keda`."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.simulation.world import WATCHING_FROM, World


@dataclass(frozen=True)
class KedaSettings:
    """What a ScaledObject sets; the defaults are KEDA's and Kubernetes' own."""

    messages_per_replica: int
    max_replicas: int
    polling_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    #: `advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds`.
    window_seconds: float = 300.0


#: Seconds; `--horizontal-pod-autoscaler-sync-period`, for a whole cluster and not to be set for one object.
SYNC_SECONDS = 15.0
TOLERANCE = 0.1
#: What one period of as many seconds may add: so many pods or so many times the size, whichever is more.
UP_PERIOD_SECONDS = 15.0
UP_PODS = 4
UP_FACTOR = 2.0


class Keda:
    """Between 0 and 1 KEDA scales, between 1 and N the autoscaler.

    | rule | value | source |
    |---|---|---|
    | KEDA reads the queue every pollingInterval | 30 s | keda apis/keda/v1alpha1/withtriggers_types.go |
    | over AMQP the number is messages ready | | keda pkg/scalers/rabbitmq_scaler.go, getQueueStatus |
    | active: more than activationValue, which is 0 | | the same, GetMetricsAndActivity |
    | 0 -> 1 at a poll that finds it active | | keda pkg/scaling/executor/scale_scaledobjects.go, scaleFromZeroOrIdle |
    | N -> 0, from any N, once it was not active for cooldownPeriod | 300 s | the same, scaleToZeroOrIdle |
    | the autoscaler looks every sync period, and does nothing at 0 | 15 s | kubernetes pkg/controller/podautoscaler/config/v1alpha1/defaults.go; horizontal.go, reconcileAutoscaler |
    | it asks KEDA, which reads the queue again (useCachedMetrics is off) | | keda docs, scaling-deployments "Caching Metrics" |
    | no change while value / (target x pods) is within the tolerance; else ceil(value / target) | 0.1 | replica_calculator.go, GetExternalPerPodMetricReplicas |
    | at least 1, at most maxReplicaCount | | keda controllers/keda/hpa.go |
    | up: at most +4 pods or +100 % a period, whichever is more; no window | 15 s | kubernetes pkg/apis/autoscaling/v2/defaults.go; horizontal.go, calculateScaleUpLimitWithScalingRules |
    | down: to the highest recommendation of the window; then 100 % a period | 300 s | the same; stabilizeRecommendationWithBehaviors |
    | which pods go is the ReplicaSet's choice | | World.deletion_order, with nothing marked |

    The first poll and sync fall half a period after the trace's start: neither the best nor the worst case.
    """  # noqa: E501 - a table's row is one line

    def __init__(self, world: World, settings: KedaSettings) -> None:
        self._world = world
        self._settings = settings
        self._last_active: float | None = None
        self._recommendations: list[tuple[float, int]] = []
        self._added: list[tuple[float, int]] = []
        world.every(settings.polling_seconds, self._poll, first=WATCHING_FROM + settings.polling_seconds / 2)
        world.every(SYNC_SECONDS, self._sync, first=WATCHING_FROM + SYNC_SECONDS / 2)

    def _poll(self) -> None:
        world = self._world
        if world.messages_ready > 0:
            self._last_active = world.now
            if world.replicas == 0:
                world.scale(1)
        elif world.replicas > 0 and self._is_cool():
            world.scale(0)

    def _is_cool(self) -> bool:
        return self._last_active is None or self._world.now - self._last_active > self._settings.cooldown_seconds

    def _sync(self) -> None:
        world, current = self._world, self._world.replicas
        if current == 0:
            return
        wanted = min(max(1, self._stabilized(self._recommendation())), self._settings.max_replicas)
        if wanted > current:
            wanted = min(wanted, self._most(current))
            self._added.append((world.now, wanted - current))
        world.scale(wanted)

    def _recommendation(self) -> int:
        current, target = self._world.replicas, self._settings.messages_per_replica
        ratio = self._world.messages_ready / (target * current)
        return current if abs(1.0 - ratio) <= TOLERANCE else math.ceil(self._world.messages_ready / target)

    def _stabilized(self, recommendation: int) -> int:
        now, current = self._world.now, self._world.replicas
        if not self._recommendations:
            self._recommendations = [(now, current)]
        kept = [(time, size) for time, size in self._recommendations if now - time < self._settings.window_seconds]
        self._recommendations = [*kept, (now, recommendation)]
        highest = max(size for _, size in self._recommendations)
        return recommendation if recommendation > current else min(current, highest)

    def _most(self, current: int) -> int:
        self._added = [(time, pods) for time, pods in self._added if self._world.now - time < UP_PERIOD_SECONDS]
        before = current - sum(pods for _, pods in self._added)
        return max(before + UP_PODS, math.ceil(before * UP_FACTOR))


def keda(settings: KedaSettings) -> Callable[[World], Keda]:
    """A model with these settings."""
    return lambda world: Keda(world, settings)
