"""Settings of the data path: sources, crawl, clips, titles, the demo corpus."""

from __future__ import annotations

from typing import Literal

from cpd.config.base import Strict, require


class Source(Strict, frozen=True, kw_only=True):
    """Where pairs come from.

    Attributes:
        kind: reader of the official list (see `cpd/sources/`).
        lists: list file(s) by split; for `ucf101` and `hmdb51` {all: folder of the split files}.
        videos: folder with the media, for kinds whose media are on disk.
        url: page address of an id, for kinds that are crawled; `{id}` is replaced, and `{port}` by the port of `site`.
        site: folder to serve on loopback while crawling (the demo's web site).
        pairs: number of ids by split: it fixes the chunks, so that the plan is known before any job runs.
        chunk_size: ids per chunk; one job per chunk and stage, one shard per chunk.
        text: whether titles are cleaned and parsed (false for sources that only carry class labels).
        factors: json {class: {factor: value}}, to report parts of a class apart (motion, appearance).
    """

    kind: Literal["kinetics", "titles", "folder", "lsmdc", "ucf101", "hmdb51"]
    lists: dict[str, str]
    pairs: dict[str, int]
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


class Crawl(Strict, frozen=True, kw_only=True):
    """How ids are fetched with yt-dlp. Seconds, bytes and pixels throughout."""

    cookies: str | None = None
    proxy: str | None = None
    rate_limit: int | None = None
    sleep: float = 5.0
    retries: int = 3
    backoff: float = 2.0
    timeout: float = 30.0
    max_height: int = 480
    max_duration: float = 1200.0
    max_bytes: int = 500_000_000
    sections: bool = True
    min_ok_ratio: float = 0.0

    def __post_init__(self) -> None:
        require(self.retries >= 0, "retries", "must be 0 or more")
        require(0 <= self.min_ok_ratio <= 1, "min_ok_ratio", "must be between 0 and 1")


class Clips(Strict, frozen=True, kw_only=True):
    """How a clip is cut and encoded, and what is refused before decoding. Seconds and pixels throughout."""

    short_side: int = 256
    max_seconds: float = 10.0
    crf: int = 23
    preset: str = "veryfast"
    gop: int = 32
    min_frames: int = 1
    max_source_pixels: int = 8192 * 4320
    max_source_seconds: float = 14_400.0
    timeout: float = 300.0


class Text(Strict, frozen=True, kw_only=True):
    """title-clean and title-tree.

    Attributes:
        stanza_dir: folder of stanza models; `download` fetches stanza's English package into it when true.
        pos_model: path of an own tagger (with `depparse_model`), instead of the package.
        proper_nouns: whether title-tree keeps proper nouns (taggers call most Title Case nouns so).
        english_margin: smallest mean over words of zipf(en) - max zipf(other languages).
        max_chars: longer titles are cut, and flagged.
    """

    stanza_dir: str = "data/stanza"
    download: bool = False
    pos_model: str | None = None
    depparse_model: str | None = None
    proper_nouns: bool = True
    english_margin: float = -0.5
    max_chars: int = 1000
    batch_size: int = 5000


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
