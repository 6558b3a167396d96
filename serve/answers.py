"""Answers as plain values, by the names that they have on the wire."""

from methods import Answer, Chosen, Classified, Generated, Span, Tagged


def said(answer: Answer) -> dict[str, object]:
    """What an answer says; which names it has depends on the kind of the task."""
    match answer:
        case Classified(label, scores):
            return {"label": label, "scores": scores}
        case Chosen(choice, index, scores):
            return {"choice": choice, "index": index, "scores": list(scores)}
        case Tagged(tags, scores):
            return {"tags": list(tags), "scores": list(scores)}
        case Span(text, start, end, score):
            return {"answer": text, "start": start, "end": end, "score": score}
        case Generated(text):
            return {"text": text}
