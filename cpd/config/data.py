"""Settings of the data path: sources, crawl, clips, titles, the demo corpus."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from cpd.config.base import Strict, at_least, require


class Source(Strict, frozen=True, kw_only=True):
    """Where pairs come from.

    Attributes:
        kind: reader of the official list (see `cpd/sources/`).
        lists: list file(s) by split; for `ucf101` and `hmdb51` {all: folder of the split files}, for `lsmdc` a folder
            under both `train` and `val` divides it as the paper does. docs/data.md has every kind's form.
        sha256: digest of a split's list file; a list with another one is refused.
        videos: folder with the media, for kinds whose media are on disk.
        url: page address of an id, for kinds that are crawled; `{id}` is replaced, and `{port}` by the port of `site`.
        site: folder to serve on loopback while crawling (the demo's web site).
        pairs: number of ids by split: it fixes the chunks, so that the plan is known before any job runs.
        chunk_size: ids per chunk; one job per chunk and stage, one shard per chunk.
        text: whether titles are cleaned and parsed (false for sources that only carry class labels).
        factors: json {class: {factor: value}}, to report parts of a class apart (motion, appearance).
    """

    kind: Literal["kinetics", "titles", "folder", "lsmdc", "instagram", "ucf101", "hmdb51"]
    lists: dict[str, str]
    pairs: dict[str, int]
    sha256: dict[str, str] = msgspec.field(default_factory=dict)
    videos: str | None = None
    url: str | None = None
    site: str | None = None
    chunk_size: int = 500
    text: bool = True
    factors: str | None = None

    def __post_init__(self) -> None:
        require(self.chunk_size > 0, "chunk_size", "must be at least 1")
        require(set(self.lists) == set(self.pairs), "pairs", f"needs the splits of lists: {sorted(self.lists)}")
        require(all(n > 0 for n in self.pairs.values()), "pairs", "every split needs at least 1 id")
        require(set(self.sha256) <= set(self.lists), "sha256", f"has a split that lists has not: {sorted(self.lists)}")


class Crawl(Strict, frozen=True, kw_only=True):
    """How ids are fetched with yt-dlp. Seconds, bytes and pixels throughout (docs/crawl.md).

    Attributes:
        media: whether media are fetched; false crawls titles alone, and a later crawl with true adds the media.
        cookies: cookies.txt of a browser session; it is read, never written.
        proxy: address of a proxy, without a password (with one: in the environment, as https_proxy).
        allow_private: whether pages may be on 127.0.0.1 without being the source's own `site`.
        rate_limit: bytes a second of a download; sections are fetched by ffmpeg, which knows no such limit.
        sleep: between two ids; with `sleep_max` a random time from `sleep` to it.
        sleep_requests: between two requests for the same id.
        retries: further attempts after a failure that may pass, the first after `backoff`, then twice as long each.
        pause: after a block, for so long no crawl of the source asks for anything.
        timeout: of one answer of the network; `id_timeout` of one attempt at an id, ffmpeg included.
        max_bytes: of one medium; `max_duration` and `max_height` of its video.
        min_free_bytes: a crawl stops before it leaves less than this on the disk.
        sections: whether only the interval of a clip is fetched.
        min_ok_ratio: a chunk with a smaller share of ids that are ok fails.
        max_transient_ratio: a chunk fails, and gives up on no id, where a larger share of its ids failed in a way
            that may pass (network, unknown, truncated).
        takedown: file of ids that must not be kept, `id` or `source/id` a line.
    """

    media: bool = True
    cookies: str | None = None
    proxy: str | None = None
    allow_private: bool = False
    rate_limit: int | None = None
    sleep: float = 5.0
    sleep_max: float | None = None
    sleep_requests: float = 0.0
    retries: int = 3
    backoff: float = 2.0
    pause: float = 3600.0
    timeout: float = 30.0
    id_timeout: float = 900.0
    max_height: int = 480
    max_duration: float = 1200.0
    max_bytes: int = 500_000_000
    min_free_bytes: int = 1_000_000_000
    sections: bool = True
    min_ok_ratio: float = 0.0
    max_transient_ratio: float = 0.5
    takedown: str | None = None

    def __post_init__(self) -> None:
        for key in ("sleep", "sleep_requests", "retries", "backoff", "pause", "min_free_bytes"):
            require(getattr(self, key) >= 0, key, "must be 0 or more")
        for key in ("timeout", "id_timeout", "max_height", "max_duration", "max_bytes"):
            require(getattr(self, key) > 0, key, "must be more than 0")
        require(self.rate_limit is None or self.rate_limit > 0, "rate_limit", "must be more than 0, or null for none")
        for key in ("min_ok_ratio", "max_transient_ratio"):
            require(0 <= getattr(self, key) <= 1, key, "must be between 0 and 1")
        require(self.sleep_max is None or self.sleep_max >= self.sleep, "sleep_max", "must be at least `sleep`")
        require("@" not in (self.proxy or ""), "proxy", "must hold no password: set https_proxy in the environment")


class Clips(Strict, frozen=True, kw_only=True):
    """How a clip is cut and encoded, and what is refused before decoding. Seconds, bytes and pixels throughout.

    Attributes:
        short_side: of the stored clip; the long side follows. 256 serves crops of 224; for crops of 112 and tests at
            128 alone, 176 is enough, takes half the bytes and is decoded in two thirds of the time.
        max_seconds: longer intervals are cut to this.
        crf: x264's constant rate factor, 0 (lossless) to 51; `preset` its speed: a slow one takes seconds a clip once,
            and saves bytes.
        gop: frames in a group of pictures: random access starts at its beginnings. Longer ones are smaller, and a
            random clip takes longer to decode.
        min_frames: clips of fewer frames are `too_short`.
        max_source_pixels: width x height of the media, from its header; `max_source_seconds`, `max_source_frames` and
            `max_source_bytes` likewise.
        timeout: patience with one ffmpeg.
    """

    short_side: int = 256
    max_seconds: float = 10.0
    crf: int = 23
    preset: str = "slow"
    gop: int = 48
    min_frames: int = 1
    max_source_pixels: int = 8192 * 4320
    max_source_seconds: float = 14_400.0
    max_source_frames: int = 14_400 * 120
    max_source_bytes: int = 16_000_000_000
    timeout: float = 300.0

    def __post_init__(self) -> None:
        require(self.short_side >= 16, "short_side", "must be at least 16")
        require(0 < self.max_seconds < math.inf, "max_seconds", "must be above 0 and finite")
        require(0 <= self.crf <= 51, "crf", "must be from 0 to 51")
        require(self.gop > 0, "gop", "must be at least 1")
        require(self.min_frames > 0, "min_frames", "must be at least 1")
        require(0 < self.timeout < math.inf, "timeout", "must be above 0 and finite")
        for name in ("max_source_pixels", "max_source_seconds", "max_source_frames", "max_source_bytes"):
            require(getattr(self, name) > 0, name, "must be above 0")


class Text(Strict, frozen=True, kw_only=True):
    """title-clean and title-tree.

    Attributes:
        stanza_dir: folder of stanza models; `download` fetches stanza's English package into it when true.
        pos_model: path of an own tagger (with `depparse_model`), instead of the package.
        lemma_model: path of an own lemmatizer beside those two; only read with `lemmas`.
        proper_nouns: whether title-tree keeps proper nouns (taggers call most Title Case nouns so).
        lemmas: whether title-tree writes a kept word as its lemma (`throws` as `throw`) instead of as written.
        english_margin: smallest mean over words of zipf(en) - max zipf(other languages).
        max_chars: longer titles are cut, and flagged.
    """

    stanza_dir: str = "data/stanza"
    download: bool = False
    pos_model: str | None = None
    depparse_model: str | None = None
    lemma_model: str | None = None
    proper_nouns: bool = True
    lemmas: bool = False
    english_margin: float = -0.5
    max_chars: int = 1000
    batch_size: int = 5000

    def __post_init__(self) -> None:
        require(self.batch_size > 0, "batch_size", "must be at least 1")
        require(self.max_chars > 0, "max_chars", "must be at least 1")


class Demo(Strict, frozen=True, kw_only=True):
    """The generated corpus of config.demo.yaml (`cpd/sources/demo/`).

    Attributes:
        folder: where lists, web site, downstream sets and treebank are written.
        seed: of everything that is generated.
        train: ids of the pretraining list, bad ones included; `val` likewise.
        ucf_per_class: videos per class of the UCF101-like set; `hmdb_per_class` likewise.
        stanza_steps: training steps of the small tagger and parser.
        encoder_steps: training steps of the small DistilBERT; `encoder_dim` and `encoder_layers` its size.
    """

    folder: str = "data/demo"
    seed: int = 0
    train: int = 480
    val: int = 160
    ucf_per_class: int = 16
    hmdb_per_class: int = 12
    stanza_steps: int = 120
    encoder_steps: int = 300
    encoder_dim: int = 64
    encoder_layers: int = 2

    def __post_init__(self) -> None:
        at_least(self, 0, "seed")
        at_least(self, 1, "train", "val", "ucf_per_class", "hmdb_per_class")
        at_least(self, 1, "stanza_steps", "encoder_steps", "encoder_dim", "encoder_layers")
