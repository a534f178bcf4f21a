"""The message headers that our programs write and read; one place, so that they agree.

Dates are ISO 8601 in UTC. A producer of another make may leave all of them out.
"""

#: Milliseconds since 1970 when the producer first published the message; AMQP's own timestamp has whole seconds only.
PUBLISHED_MS = "x-workqueue-published-ms"

#: How many attempts were made before this copy of the message was published; on a dead letter, how many in all.
ATTEMPTS = "x-workqueue-attempts"
#: Why the task was dead-lettered: one of the worker's reasons.
REASON = "x-workqueue-reason"
#: The error of the last attempt, in one line.
ERROR = "x-workqueue-error"
#: The worker that made the last attempt.
WORKER = "x-workqueue-worker"
#: When the first attempt failed.
FIRST_TIME = "x-workqueue-first-time"
#: When the last attempt failed.
LAST_TIME = "x-workqueue-last-time"
#: The queue that the task came from, and to which a replay returns it.
QUEUE = "x-workqueue-queue"
#: The names of the original's headers that the copy lacks, with commas, as the broker would not take a copy with them.
LEFT_OUT = "x-workqueue-left-out"
#: True on a dead letter that waits in the task's own queue, because its dead-letter queue took no copy.
WAITS = "x-workqueue-dead-letter-waits"

#: What a worker adds to a copy; a replay takes them off again.
OF_THE_WORKER = (ATTEMPTS, REASON, ERROR, WORKER, FIRST_TIME, LAST_TIME, QUEUE, LEFT_OUT, WAITS)
