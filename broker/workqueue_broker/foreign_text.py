"""Text that a broker, a server or a library wrote, made fit for a status, an Event, a log line or a terminal.

Such text may be megabytes long, hold a whole false log line, or move a terminal's cursor.
"""

#: Characters that are kept; RabbitMQ's own reply texts have at most 255.
MOST_CHARACTERS = 300


def foreign_text(text: str, most: int = MOST_CHARACTERS) -> str:
    """The beginning of the text, on one line and without control characters; "…" stands for what was cut."""
    start = text[: 2 * most]  # what is beyond costs nothing
    line = " ".join("".join(one if one.isprintable() else " " for one in start).split())
    return line if len(line) <= most and len(start) == len(text) else f"{line[: most - 1]}…"


def error_text(error: BaseException, most: int = MOST_CHARACTERS) -> str:
    """The error's own words, made fit; its type's name where it has none."""
    return foreign_text(str(error), most) or type(error).__name__
