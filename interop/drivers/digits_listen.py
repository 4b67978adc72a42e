"""Tells the digits in recordings of calls by templates: pairs of espeak-ng voice and WAV file as
arguments, JSON of both readings of each as answer.

The templates are espeak-ng's own, fresh from its mouth at its own rate: nothing of the server's
words, clips, levels or codecs is in them. Mel cepstra and dynamic time warping tell which of ten
templates a word is most like, as recognisers of spoken digits worked before there were models.
"""

import json
import os
import subprocess
import sys
import wave

# Its threads would wait for each other longer than they work.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402

# The synthesiser reads figures by the rules of its language; where a code is read otherwise than a
# number is, the words are told.
WORDS = {
    "ja": dict(enumerate("ゼロ いち に さん よん ご ろく なな はち きゅう".split())),
    "ko": {0: "공"},
    "pt-br": {6: "meia"},
}

FRAME_MS, HOP_MS = 25, 10
BINS_HZ = np.arange(160, 3401, 40)
BANDS, CEPSTRA = 20, 12

# Below this a sample is silence; speech is at some thousands.
LOUD = 130

# Between a reading and what comes before or after it there is more, between two digits less.
READING_PAUSE_MS = 600
DIGIT_PAUSE_MS = 200

# Keeps what is far below speech from mattering: the steps of a codec, for one.
FLOOR = 30.0

# After the second reading come the offer to hear it again and the leave-taking.
READINGS = (-5, -3)


def main():
    """Listens to every file with the ears of its voice."""
    voices, paths = sys.argv[1::2], sys.argv[2::2]
    ears = {voice: templates(voice) for voice in dict.fromkeys(voices)}
    print(json.dumps([readings(path, ears[voice]) for voice, path in zip(voices, paths)]))


def templates(voice):
    """The ten digits of a voice."""
    words = WORDS.get(voice, {})
    return [features(*spoken(voice, words.get(digit, str(digit)))) for digit in range(10)]


def spoken(voice, word):
    """What espeak-ng says, without the silence around it."""
    done = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", "130", "--stdin", "--stdout"],
        input=word.encode(), capture_output=True, check=True, timeout=60,
    )
    # Streamed, its header tells no length.
    samples = np.frombuffer(done.stdout[44:], "<i2")
    rate = int.from_bytes(done.stdout[24:28], "little")
    loud = np.flatnonzero(np.abs(samples.astype(int)) > LOUD)
    return samples[loud[0]:loud[-1] + 1], rate


def readings(path, ears):
    """Both readings of a code, as heard."""
    with wave.open(path, "rb") as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    parts = split(samples, rate, READING_PAUSE_MS)
    if len(parts) < -min(READINGS):
        return []
    return ["".join(nearest(word, rate, ears) for word in split(parts[at], rate, DIGIT_PAUSE_MS))
            for at in READINGS]


def nearest(word, rate, ears):
    """The digit that a word is most like."""
    heard = features(word, rate)
    distances = [warped_distance(template, heard) for template in ears]
    return str(distances.index(min(distances)))


def split(samples, rate, pause_ms):
    """Cuts sound at its pauses."""
    hop = rate * HOP_MS // 1000
    frames = np.abs(samples[:len(samples) // hop * hop].astype(int)).reshape(-1, hop)
    parts = []
    for at in np.flatnonzero(frames.max(axis=1) > LOUD):
        if parts and (at - parts[-1][1]) * HOP_MS < pause_ms:
            parts[-1][1] = at + 1
        else:
            parts.append([at, at + 1])
    return [samples[start * hop:end * hop] for start, end in parts]


def features(samples, rate):
    """Cepstra and their slopes every 10 ms, independent of loudness and rate."""
    length, hop = rate * FRAME_MS // 1000, rate * HOP_MS // 1000
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(float), length)[::hop]
    # Taken at fixed frequencies, so that a template may have a rate of its own.
    turns = np.exp(-2j * np.pi * np.outer(np.arange(length), BINS_HZ) / rate)
    power = np.abs(frames * np.hanning(length) @ turns / length) ** 2
    mels = np.log1p(BINS_HZ / 700)
    low, high = np.log1p(150 / 700), np.log1p(3400 / 700)
    band = np.minimum(((mels - low) / (high - low) * BANDS).astype(int), BANDS - 1)
    bands = np.stack([power[:, band == each].sum(axis=1) for each in range(BANDS)], axis=1)
    orders = np.outer(np.arange(1, CEPSTRA + 1), np.arange(BANDS) + 0.5)
    cepstra = np.log(bands + FLOOR) @ np.cos(np.pi * orders / BANDS).T
    cepstra -= cepstra.mean(axis=0)
    padded = np.pad(cepstra, ((2, 2), (0, 0)), "edge")
    return np.hstack([cepstra, padded[4:] - padded[:-4]])


def warped_distance(one, other):
    """The mean distance along the best way through both at once."""
    costs = np.linalg.norm(one[:, None] - other[None], axis=2).tolist()
    infinite = float("inf")
    row = [0.0] + [infinite] * len(other)
    for line in costs:
        diagonal, row[0] = row[0], infinite
        for at, cost in enumerate(line, 1):
            best = min(diagonal, row[at], row[at - 1])
            diagonal, row[at] = row[at], best + cost
    return row[-1] / (len(one) + len(other))


if __name__ == "__main__":
    main()
