"""What every contender is to send; from the environment, as the Go client reads it too."""

import os

URI = os.environ["BENCHMARK_URI"]
QUEUE = os.environ["BENCHMARK_QUEUE"]
#: quorum or classic.
QUEUE_TYPE = os.environ["BENCHMARK_QUEUE_TYPE"]
MESSAGES = int(os.environ["BENCHMARK_MESSAGES"])
WINDOW = int(os.environ["BENCHMARK_WINDOW"])
BODY = b"x" * int(os.environ["BENCHMARK_BODY_BYTES"])
