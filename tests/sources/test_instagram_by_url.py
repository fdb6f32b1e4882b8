from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cpd.fileio import read_jsonl
from cpd.sources.crawl import crawl_chunk, crawl_path
from cpd.sources.plan import write_plan
from tests.sources.scripted_site import ScriptedSite, make_config

if TYPE_CHECKING:
    from pathlib import Path


def test_clips_by_url_carry_the_captions_of_the_list(tmp_path: Path, scripted_site: ScriptedSite) -> None:
    """Addresses of the source and of an entry, straight to the medium or to a page; bad ids are never asked for."""
    base = f"http://127.0.0.1:{scripted_site.port}"
    entries = {
        "a": {"subset": "training", "caption": "Guy jumps \U0001f389 $(x)"},
        "-rf": {"subset": "training", "caption": "Dog runs", "url": f"{base}/watch/other"},
        "../x": {"subset": "training", "caption": "Cat sleeps"},
        "mute": {"subset": "training", "caption": None},
    }
    (tmp_path / "list.json").write_text(json.dumps(entries))
    source = {
        "kind": "instagram",
        "lists": {"train": str(tmp_path / "list.json")},
        "pairs": {"train": 4},
        "url": f"{base}/media/{{id}}.mp4",
    }
    config = make_config(tmp_path, {"i": source}, crawl={"allow_private": True})
    write_plan(config, "i")
    crawl_chunk(config, "i", "train-0000")
    rows = {row["id"]: row for row in read_jsonl(crawl_path(config, "i", "train-0000"))}
    assert {identity: (row["status"], row["title"]) for identity, row in rows.items()} == {
        "a": ("ok", "Guy jumps \U0001f389 $(x)"),
        "-rf": ("ok", "Dog runs"),
        "../x": ("invalid_id", "Cat sleeps"),
        "mute": ("ok", ""),  # not the page's title: the list says that there is none
    }
    assert {"/media/a.mp4", "/watch/other", "/media/other.mp4"} <= set(scripted_site.hits)
    assert not [path for path in scripted_site.hits if "x" in path]
