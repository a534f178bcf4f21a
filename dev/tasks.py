"""The demo's tasks, wherever it runs."""

#: Sixty tasks of one to three seconds: a dot is a second.
TASKS = [f"Task {number}{'.' * (1 + number % 3)}" for number in range(1, 61)]
