"""What the network reads for each task, in training and in prediction alike.

Sources: GLiNER multi-task, 2.2 (the labels "match" and "answer"), 2.4.2 to 2.4.4 (the formats of the inputs).
"""

RELATION_INSTRUCTION = "Identify the relation in the given text, highlighting the relevant entity:"
SUMMARY_INSTRUCTION = "Summarize the given text, highlighting the most important information:"
SUMMARY = "summary"
ANSWER = "answer"
MATCH = "match"


def relation_prompt(head: str, relation: str) -> str:
    """The label whose spans are the tails of this head."""
    return f"{head} <> {relation}"
