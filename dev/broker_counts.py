"""How many messages a queue has now, as an Erlang expression for the broker's node.

`rabbitmqctl list_queues`, the management API and a quorum queue's own statistics report what was true seconds ago. The
expression asks the queue itself: of a quorum queue the leader's state, of a classic queue its process.
"""

import re


def expression(vhost: str, queue: str) -> str:
    """For `rabbitmqctl eval` or erl_call; parse() reads its value."""
    return (
        f'case rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)) of '
        "{error, not_found} -> missing; "
        "{ok, Q} -> case amqqueue:get_type(Q) of "
        "rabbit_quorum_queue -> "
        "{ok, {_, O}, _} = ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:overview/1), "
        "{maps:get(num_ready_messages, O), maps:get(num_checked_out, O)}; "
        "_ -> [{_, R}, {_, U}] = rabbit_amqqueue:info(Q, [messages_ready, messages_unacknowledged]), {R, U} "
        "end end"
    )


def parse(value: str) -> tuple[int, int] | None:
    """(messages_ready, messages_unacknowledged); None when there is no such queue."""
    if value.strip() == "missing":
        return None
    ready, unacknowledged = re.findall(r"[0-9]+", value)
    return int(ready), int(unacknowledged)
