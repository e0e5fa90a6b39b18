"""Recordings."""

from collections.abc import Iterator, Sequence

import numpy as np

from vae_pipeline.detector.detector import Judged
from vae_pipeline.detector.sounds import SoundDetector
from vae_pipeline.explanation.explanation import Explanation
from vae_pipeline.features.clips import decode_clip
from vae_pipeline.features.inputs import frame_means
from vae_pipeline.features.windows import Windows
from vae_pipeline.serving.asked import Asked
from vae_pipeline.serving.batching import Chunk
from vae_pipeline.serving.body import MULTIPART, WAVS, Body
from vae_pipeline.serving.served import Samples, Served

__all__ = ["ServedClips"]


class ServedClips(Served[Windows]):
    """A model of recordings; a chunk is the windows of one clip, over its scaled frames."""

    READS = (*WAVS, MULTIPART)
    detector: SoundDetector

    def samples(self, body: Body, asked: Asked) -> Samples[Windows]:
        """The clips of a body."""
        files = self._files(body)
        chunks, inputs = [], []
        for name, content in files:
            windows = self.detector.windows_of(name, decode_clip(content, name, self.detector.sound))
            chunks.append(Chunk(windows, 1))
            inputs.append(frame_means(windows.rows, self.detector.scaler))
        return Samples(chunks, [{"name": name} for name, _ in files], np.stack(inputs))

    def judged(self, payloads: Sequence[Windows]) -> list[Judged]:
        """Scores and latents of clips."""
        sizes = [len(payload.rows) for payload in payloads]
        offsets = np.cumsum([0, *sizes[:-1]])
        starts = np.concatenate([each.starts + offset for each, offset in zip(payloads, offsets, strict=True)])
        units = np.repeat(np.arange(len(payloads)), [len(each) for each in payloads])
        rows = np.concatenate([each.rows for each in payloads])
        _, found = self.detector.judged(Windows(rows, starts, payloads[0].length), units)
        return found.split([1] * len(payloads))

    def explained(self, body: Body, asked: Asked) -> Iterator[Explanation]:
        """Why clips have their scores: which mel bands, and when."""
        for clip in self._files(body)[: asked.top]:
            yield from self.detector.explain_clips([clip])

    def _files(self, body: Body) -> list[tuple[str, bytes]]:
        self.require_type(body)
        files = body.named("clip")
        self.require_few(len(files), "files")
        return files
