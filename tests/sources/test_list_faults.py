"""Lists that are cut, changed, in odd bytes or hostile: every fault is told, and no row is lost in silence."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pytest

from cpd.config import Config, Source
from cpd.errors import CpdError
from cpd.sources.instagram import read as read_instagram
from cpd.sources.plan import plan_path, read_plan, write_plan
from cpd.sources.readers import read_pairs

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
URL = "https://www.youtube.com/watch?v={id}"


def source_of(path: Path, kind: str = "titles", **more: object) -> Source:
    return Source(kind=kind, lists={"train": str(path)}, pairs={"train": 3}, url=URL, **more)


def planned(folder: Path, source: Source) -> list[str]:
    config = Config(
        results=str(folder / "results"), data=str(folder / "data"), sources={"s": source},
        datasets={}, encoders={}, experiments={}, run=[], tables={},
    )  # fmt: skip
    write_plan(config, "s")
    return [pair.id for pair in read_plan(plan_path(config, "s", "train-0000"))]


def test_a_csv_cut_at_any_byte_is_refused_or_whole(tmp_path):
    """Fault 7: three rows or an error, wherever the file ends."""
    whole = HEADER + "".join(f"jumping,AAAAAAAAAA{n},7,17,train,0\n" for n in (1, 2, 3))
    path = tmp_path / "list.csv"
    for length in range(len(whole)):
        path.write_text(whole[:length])
        folder = tmp_path / str(length)
        try:
            ids = planned(folder, source_of(path, "kinetics"))
        except CpdError as error:
            assert "list" in str(error)  # noqa: PT017
        else:
            assert ids == ["AAAAAAAAAA1", "AAAAAAAAAA2", "AAAAAAAAAA3"]
            assert length >= len(whole) - 2, "only is_cc, which nobody reads, and the line's end may be missing"


@pytest.mark.parametrize("kind", ["titles", "lsmdc"])
def test_a_tabbed_list_that_ends_inside_a_row_is_refused(tmp_path, kind):
    """Fault 7: a last line without an end and with fewer columns is half a row."""
    columns = {"titles": 3, "lsmdc": 6}[kind]
    rows = ["\t".join([f"AAAAAAAAAA{n}", *["00.00.01.000"] * (columns - 1)]) for n in (1, 2, 3)]
    path = tmp_path / "list.txt"
    (tmp_path / "videos").mkdir()
    source = source_of(path, kind, videos=str(tmp_path / "videos"))
    path.write_text("\n".join(rows))
    assert len(read_pairs("s", source)["train"]) == 3
    path.write_text("\n".join([*rows[:2], rows[2].rpartition("\t")[0]]))
    with pytest.raises(CpdError, match=rf"list.txt:3: {columns - 1} columns and no end, the first line has {columns}"):
        read_pairs("s", source)


def test_a_list_with_another_digest_is_refused(tmp_path):
    """Fault 7: a cut inside the last title shows in the digest alone."""
    path = tmp_path / "list.txt"
    path.write_text("AAAAAAAAAA1\tguy jumps\tGuy jumps\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(read_pairs("s", source_of(path, sha256={"train": digest.upper()}))["train"]) == 1
    path.write_text("AAAAAAAAAA1\tguy jumps\tGuy ju")
    with pytest.raises(CpdError, match=rf"list.txt: SHA-256 is [0-9a-f]{{64}}, sources.s.sha256 says {digest}"):
        read_pairs("s", source_of(path, sha256={"train": digest}))
    with pytest.raises(CpdError, match="no such file"):
        read_pairs("s", source_of(tmp_path, sha256={"train": digest}))
    with pytest.raises(ValueError, match="sha256 has a split that lists has not"):
        source_of(path, sha256={"val": digest})


def test_bytes_that_are_not_utf8_are_replaced_and_told(tmp_path, caplog):
    """Fault 13: the other rows stay as they are, and a U+FFFD that was there before is not counted."""
    path = tmp_path / "list.txt"
    rows = [f"A{n:010d}\tx\ttitle {n} \ufffd".encode() for n in range(500)]
    rows[7] = b"A0000000007\tx\tcaf\xe9 title"
    path.write_bytes(b"\n".join(rows))
    with caplog.at_level(logging.WARNING):
        pairs = read_pairs("s", source_of(path))["train"]
    assert [pair.title for pair in pairs if pair.id != "A0000000007"] == [
        f"title {n} \ufffd" for n in range(500) if n != 7
    ]
    assert pairs[7].title == "caf\ufffd title"
    assert "list.txt: not UTF-8 in 1 places" in caplog.text


@pytest.mark.parametrize("identity", ["12345678901", "1234567e890", "-rfAAAAAAAA", "_aaaaaaaaaa", "aaaaaaaaaaA"])
def test_odd_ids_come_back_from_the_plan_as_they_were(tmp_path, identity):
    """Faults 2, 3, 4: ids are text from the list to the plan; two that differ by case are two."""
    path = tmp_path / "list.csv"
    ids = [identity, "aaaaaaaaaaa", "AAAAAAAAAAA"]
    path.write_text(HEADER + "".join(f"jumping,{name},0,10,train,0\n" for name in ids))
    assert planned(tmp_path, source_of(path, "kinetics")) == ids


def test_lists_in_another_encoding_or_form_are_told(tmp_path):
    """Fault 6: UTF-16 (a spreadsheet's "Unicode text") and tabs instead of commas."""
    path = tmp_path / "list.csv"
    path.write_text(HEADER + "jumping,AAAAAAAAAA1,0,10,train,0\n", encoding="utf-16")
    with pytest.raises(CpdError, match="no column 'youtube_id'"):
        read_pairs("s", source_of(path, "kinetics"))
    path.write_text(HEADER.replace(",", "\t"))
    with pytest.raises(CpdError, match="no column 'youtube_id'"):
        read_pairs("s", source_of(path, "kinetics"))


# Instagram-300k


def entry(subset: str = "training", caption: object = "Guy jumps", **more: object) -> dict:
    return {"subset": subset, "caption": caption, **more}


def instagram(folder: Path, value: object, *splits: str, **more: object) -> Source:
    path = folder / "ins_300k.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    splits = splits or ("train", "val")
    return Source(kind="instagram", lists=dict.fromkeys(splits, str(path)), pairs=dict.fromkeys(splits, 1), **more)


def test_instagram_clips_on_disk(tmp_path):
    (tmp_path / "videos" / "a").mkdir(parents=True)
    (tmp_path / "videos" / "a" / "trimmed_resize_BxYz_1-2.mp4").touch()
    (tmp_path / "videos" / "12345678901234567_0.mp4").touch()
    entries = {
        "BxYz_1-2": entry(caption="NA"),
        "12345678901234567_0": entry("validation", caption="Dogs \ud83d\udc15 \ud800 run"),
        "gone": entry(caption=None),
    }
    pairs = read_pairs("i", instagram(tmp_path, entries, videos=str(tmp_path / "videos")))
    one, gone = pairs["train"]
    (two,) = pairs["val"]
    assert (one.id, one.title, one.url) == ("BxYz_1-2", "NA", "")
    assert one.path == f"{tmp_path}/videos/a/trimmed_resize_BxYz_1-2.mp4"
    assert (gone.title, gone.path) == ("", f"{tmp_path}/videos/gone.mp4")
    assert (two.id, two.title) == ("12345678901234567_0", "Dogs \U0001f415 \ufffd run")
    assert two.path == f"{tmp_path}/videos/12345678901234567_0.mp4"


def test_instagram_clips_by_url(tmp_path):
    own = "https://media.example.org/clips/c.mp4?sig=a%2Fb"
    entries = {"a": entry(), "b": entry(url=own), "../x": entry(), "$(x)": entry(url=own)}
    source = instagram(tmp_path, entries, "all", url="https://example.org/p/{id}.mp4")
    pairs = read_pairs("i", source)["all"]
    assert [(pair.id, pair.url, pair.path) for pair in pairs] == [
        ("a", "https://example.org/p/a.mp4", ""),
        ("b", own, ""),
        ("../x", "", ""),
        ("$(x)", "", ""),
    ]
    with pytest.raises(CpdError, match="needs `url` or `videos`"):
        read_pairs("i", instagram(tmp_path, entries, "all"))
    assert read_pairs("i", instagram(tmp_path, {"b": entry(url=own)}, "all"))["all"][0].url == own


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("[]", "not a JSON object"),
        ("{}", "not a JSON object"),
        ('{"a": {"subset": "training", "capt', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ({"a": ["training", "x"]}, "'a': subset is None"),
        ({"a": entry("test")}, "'a': subset is 'test', not one of training, validation"),
        ({"a": entry(["training"])}, "'a': subset is "),
        ({"a": entry(caption=7)}, "'a': caption is 7, not text"),
        ({"a": entry(url="file:///etc/passwd")}, "'a': url is 'file:///etc/passwd', not a web address"),
        ({"a": entry(url="http://user@host/x")}, "not a web address"),
        ({"a": entry(url="https://h/x y")}, "not a web address"),
        ({"a": entry(url=7)}, "not a web address"),
    ],
)
def test_instagram_faults_are_told(tmp_path, value, told):
    with pytest.raises(CpdError, match=r"ins_300k\.json") as error:
        read_pairs("i", instagram(tmp_path, value, url="https://example.org/{id}"))
    assert told in str(error.value)


def test_instagram_keys_that_come_twice_are_seen(tmp_path):
    """Fault 5: json alone keeps the last of two equal keys."""
    text = f'{{"a": {json.dumps(entry())}, "a": {json.dumps(entry(caption="no"))}}}'
    source = instagram(tmp_path, text, url="https://example.org/{id}")
    assert len(read_instagram("i", source)["train"]) == 2
    with pytest.raises(CpdError, match=r"id 'a' has two different rows.*title 'Guy jumps' and 'no'"):
        read_pairs("i", source)


def test_instagram_splits_have_names(tmp_path):
    with pytest.raises(CpdError, match=r"sources.i.lists: no subset for split 'test'"):
        read_pairs("i", instagram(tmp_path, {"a": entry()}, "test", url=URL))


# LSMDC, divided as the paper does


def lsmdc_folder(folder: Path, *, test: int = 12) -> Source:
    lists = folder / "lists"
    lists.mkdir(parents=True, exist_ok=True)
    (folder / "videos").mkdir(exist_ok=True)
    times = "\t".join(["00.00.01.000"] * 4)
    parts = {"training": 5, "val": 3, "test": test}
    for part, count in parts.items():
        lines = [f"0_{part.upper()}_{n:02d}\t{times}\tSOMEONE waves {n}." for n in range(count)]
        lines.append(f"0_{part.upper()}_00\t{times}\tHe runs.")
        (lists / f"LSMDC16_annos_{part}.csv").write_text("\n".join(lines) + "\n")
    (lists / "LSMDC16_annos_blindtest.csv").write_text(f"0_BLIND_00\t{times}\n")
    named = {"train": str(lists), "val": str(lists)}
    return Source(kind="lsmdc", lists=named, pairs={"train": 18, "val": 5}, videos=str(folder / "videos"))


def test_lsmdc_reserves_clips_of_the_test_split(tmp_path):
    pairs = read_pairs("l", lsmdc_folder(tmp_path))
    train, val = ({Path(pair.path).stem for pair in pairs[split]} for split in ("train", "val"))
    assert (len(pairs["train"]), len(pairs["val"]), len(val)) == (6 + 4 + 13 - 5, 5, 5)
    assert all(clip.startswith("0_TEST") for clip in val)
    assert "0_TEST_00" in train, "a clip with two sentences is not reserved"
    assert not train & val
    path = tmp_path / "lists" / "LSMDC16_annos_test.csv"
    path.write_text("\n".join(reversed(path.read_text().splitlines())) + "\n")
    again = read_pairs("l", lsmdc_folder(tmp_path / "again"))
    assert {pair.id for pair in again["val"]} == {pair.id for pair in pairs["val"]}


def test_lsmdc_folders_that_do_not_fit_are_told(tmp_path):
    source = lsmdc_folder(tmp_path)
    with pytest.raises(CpdError, match=r"11 clips with one sentence, pairs.val asks for 12"):
        read_pairs("l", Source(kind="lsmdc", lists=source.lists, pairs={"train": 1, "val": 12}, videos=source.videos))
    folder = source.lists["train"]
    with pytest.raises(CpdError, match="a folder is for both splits"):
        read_pairs("l", Source(kind="lsmdc", lists={"train": folder}, pairs={"train": 1}, videos=source.videos))
    (Path(folder) / "LSMDC16_annos_val.csv").rename(Path(folder) / "LSMDC16_annos_val_someone.csv")
    assert len(read_pairs("l", source)["train"]) == 18
    (Path(folder) / "LSMDC16_annos_val_someone.csv").unlink()
    with pytest.raises(CpdError, match=r"0 files are named \*annos_val.csv"):
        read_pairs("l", source)


# The same list as a Windows editor saves it


def _folder_of(kind: str, folder: Path, end: str, mark: str) -> Source:
    times = "\t".join(["00.00.01.000"] * 4)
    texts = {
        "titles": {"list.txt": "AAAAAAAAAA1\ta\tGuy jumps\n\nAAAAAAAAAA2\tb\tDog runs\n"},
        "lsmdc": {"list.txt": f"0_A_1\t{times}\tSOMEONE waves.\n\n0_A_2\t{times}\tHe runs.\n"},
        "folder": {"list.txt": "file,title\na.mp4,Guy jumps\n\nb.mp4,Dog runs\n"},
        "hmdb51": {f"wave_test_split{n}.txt": "a.avi 1 \nb.avi 2 \n" for n in (1, 2, 3)},
        "ucf101": {"classInd.txt": "1 Archery\n"}
        | {f"trainlist0{n}.txt": "Archery/a.avi 1\n" for n in (1, 2, 3)}
        | {f"testlist0{n}.txt": "Archery/b.avi\n" for n in (1, 2, 3)},
    }[kind]
    folder.mkdir()
    (folder / "videos").mkdir()
    for name, text in texts.items():
        (folder / name).write_text(mark + text.replace("\n", end), encoding="utf-8", newline="")
    split, path = ("all", folder) if kind in ("hmdb51", "ucf101") else ("train", folder / "list.txt")
    return Source(kind=kind, lists={split: str(path)}, pairs={split: 2}, videos=str(folder / "videos"))


@pytest.mark.parametrize("kind", ["titles", "lsmdc", "folder", "hmdb51", "ucf101"])
def test_bom_and_crlf_change_nothing(tmp_path, kind):
    """Fault 6."""
    plain, odd = (
        read_pairs("s", _folder_of(kind, tmp_path / name, end, mark))
        for name, end, mark in (("plain", "\n", ""), ("odd", "\r\n", "\ufeff"))
    )
    (rows,) = plain.values()
    assert len(rows) == 2
    seen = [[(pair.id, pair.title, pair.label, pair.folds) for pair in next(iter(p.values()))] for p in (plain, odd)]
    assert seen[0] == seen[1]
