"""Official formats, and what lists get wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpd.config import Source
from cpd.errors import CpdError
from cpd.finetune.data import balanced_subset
from cpd.sources.lists import read_text, safe_id
from cpd.sources.pair import ID
from cpd.sources.readers import read_pairs

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
URL = "https://www.youtube.com/watch?v={id}"


def kinetics(folder: Path, text: str | bytes) -> Source:
    path = folder / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Source(kind="kinetics", lists={"train": str(path)}, pairs={"train": 1}, url=URL)


def read_train(source: Source) -> list:
    return read_pairs("k", source)["train"]


def test_kinetics_row(tmp_path):
    (pair,) = read_train(kinetics(tmp_path, HEADER + '"massaging person\'s head",-_bJUbfpnQ1,17,27.5,val,0\n'))
    assert (pair.id, pair.label, pair.start, pair.end) == ("-_bJUbfpnQ1", "massaging person's head", 17.0, 27.5)
    assert (pair.split, pair.source, pair.title) == ("train", "k", "")
    assert pair.url == "https://www.youtube.com/watch?v=-_bJUbfpnQ1"


def test_kinetics_test_list_has_no_label(tmp_path):
    (pair,) = read_train(kinetics(tmp_path, "youtube_id,time_start,time_end,split\nAAAAAAAAAA1,1,11,test\n"))
    assert pair.label == ""


@pytest.mark.parametrize("text", ["\ufeff" + HEADER, HEADER.replace("\n", "\r\n"), HEADER + "\n\n", HEADER + ",,,,,\n"])
def test_bom_crlf_and_blank_lines_are_tolerated(tmp_path, text):
    """Fault 6."""
    end = "\r\n" if "\r" in text else "\n"
    rows = f"jumping,AAAAAAAAAA1,0,10,train,0{end}{end}running,AAAAAAAAAA2,0,10,train,0{end}"
    assert [pair.id for pair in read_train(kinetics(tmp_path, text + rows))] == ["AAAAAAAAAA1", "AAAAAAAAAA2"]


@pytest.mark.parametrize("identity", ["12345678901", "1234567e890", "-rfAAAAAAAA", "_aaaaaaaaaa", "aaaaaaaaaaA"])
def test_odd_but_valid_ids_stay_text(tmp_path, identity):
    """Faults 2, 3, 4."""
    (pair,) = read_train(kinetics(tmp_path, HEADER + f"jumping,{identity},0,10,train,0\n"))
    assert pair.id == identity
    assert pair.url.endswith(f"v={identity}")


@pytest.mark.parametrize(
    "identity",
    ["", "NaN", "../../../etc", "$(touch PWNED)", "a" * 300, '"AAAAAAAAAA1\n"', "AAAAAAAAAA1&list=x", "é" * 11],
)
def test_invalid_ids_keep_their_row_without_an_address(tmp_path, identity):
    """Fault 1."""
    (pair,) = read_train(kinetics(tmp_path, HEADER + f"jumping,{identity},0,10,train,0\n"))
    assert pair.id == identity.strip('"')
    assert (pair.url, pair.path) == ("", "")


def test_bytes_that_are_not_utf8_do_not_stop_the_list(tmp_path):
    """Fault 13."""
    (pair,) = read_train(kinetics(tmp_path, HEADER.encode() + b"caf\xe9,AAAAAAAAAA1,0,10,train,0\n"))
    assert pair.label == "caf\ufffd"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        (HEADER, "no row"),
        ("label,id,start\nx,y,1\n", "no column 'youtube_id'; found: label, id, start"),
        (HEADER + "jumping,AAAAAAAAAA1,0\n", ":2: 3 cells, the header has 6"),
        (HEADER + "jumping,AAAAAAAAAA1,zero,10,train,0\n", ":2: column 'time_start' is 'zero'"),
        (HEADER + "jumping,AAAAAAAAAA1,0,nan,train,0\n", "'time_end' is 'nan'"),
        (HEADER + '"jumping,AAAAAAAAAA1,0,10,train,0\n', "unexpected end of data"),
    ],
)
def test_a_bad_list_is_told_by_file_and_line(tmp_path, text, told):
    """Faults 6, 7."""
    with pytest.raises(CpdError, match=r"list\.csv") as error:
        read_train(kinetics(tmp_path, text))
    assert told in str(error.value)


def test_a_missing_list_is_told(tmp_path):
    source = Source(kind="kinetics", lists={"train": str(tmp_path / "no.csv")}, pairs={"train": 1}, url=URL)
    with pytest.raises(CpdError, match=r"no\.csv: cannot be read"):
        read_train(source)


def test_the_same_row_twice_counts_once(tmp_path, caplog):
    """Fault 5."""
    row = "jumping,AAAAAAAAAA1,0,10,train,0\n"
    assert len(read_train(kinetics(tmp_path, HEADER + row * 3))) == 1
    assert "2 rows" in caplog.text


def test_an_id_with_two_labels_is_an_error(tmp_path):
    """Fault 5."""
    rows = "jumping,AAAAAAAAAA1,0,10,train,0\nrunning,AAAAAAAAAA1,0,10,train,0\n"
    with pytest.raises(CpdError, match=r"'AAAAAAAAAA1' has two different rows.*label 'jumping' and 'running'"):
        read_train(kinetics(tmp_path, HEADER + rows))


def test_an_id_in_two_splits_is_an_error(tmp_path):
    source = kinetics(tmp_path, HEADER + "jumping,AAAAAAAAAA1,0,10,train,0\n")
    both = Source(
        kind="kinetics",
        lists=dict.fromkeys(("train", "val"), source.lists["train"]),
        pairs={"train": 1, "val": 1},
        url=URL,
    )
    with pytest.raises(CpdError, match="in the splits 'train' and 'val'"):
        read_pairs("k", both)


def test_kinetics_with_media_on_disk(tmp_path):
    (tmp_path / "videos" / "jumping").mkdir(parents=True)
    (tmp_path / "videos" / "jumping" / "AAAAAAAAAA1_000017_000027.mp4").touch()
    (tmp_path / "videos" / "AAAAAAAAAA2.mkv").touch()
    rows = "".join(f"jumping,AAAAAAAAAA{n},17,27,train,0\n" for n in (1, 2, 3))
    source = kinetics(tmp_path, HEADER + rows)
    local = Source(kind="kinetics", lists=source.lists, pairs=source.pairs, videos=str(tmp_path / "videos"))
    cut, whole, missing = read_train(local)
    assert (Path(cut.path).name, cut.start, cut.end) == ("AAAAAAAAAA1_000017_000027.mp4", 0.0, 10.0)
    assert (Path(whole.path).name, whole.start, whole.end) == ("AAAAAAAAAA2.mkv", 17.0, 27.0)
    assert missing.path == f"{tmp_path}/videos/AAAAAAAAAA3.mp4"
    assert {pair.url for pair in (cut, whole, missing)} == {""}


def test_titles_keep_the_original(tmp_path):
    path = tmp_path / "titles.txt"
    path.write_text("AAAAAAAAAA1\tguy jumps\tGuy JUMPS! \U0001f389 \u2028 | $(x)\nAAAAAAAAAA2\tonly two\n", newline="")
    source = Source(kind="titles", lists={"train": str(path)}, pairs={"train": 2}, url=URL)
    one, two = read_pairs("t", source)["train"]
    assert one.title == "Guy JUMPS! \U0001f389 \u2028 | $(x)"
    assert (two.title, two.url) == ("only two", "https://www.youtube.com/watch?v=AAAAAAAAAA2")


def test_titles_line_without_a_title_is_told(tmp_path):
    path = tmp_path / "titles.txt"
    path.write_text("AAAAAAAAAA1\ta\tb\n\nAAAAAAAAAA2\n")
    source = Source(kind="titles", lists={"train": str(path)}, pairs={"train": 2}, url=URL)
    with pytest.raises(CpdError, match=r"titles.txt:3: 1 column"):
        read_pairs("t", source)


def folder_source(path: Path, *splits: str, videos: str | None = None) -> Source:
    return Source(kind="folder", lists=dict.fromkeys(splits, str(path)), pairs=dict.fromkeys(splits, 1), videos=videos)


def test_folder_ids_are_safe_and_unique(tmp_path):
    path = tmp_path / "own.csv"
    files = ["a/x.mp4", "b/x.mp4", "../up %d 'q'.mp4", "日本.mp4", "-rf.mp4", "x" * 200 + ".mp4", "CON.mp4"]
    path.write_text("file,title\n" + "".join(f"{file},NA\n" for file in files))
    pairs = read_pairs("own", folder_source(path, "all"))["all"]
    assert all(ID.match(pair.id) for pair in pairs)
    assert len({pair.id.lower() for pair in pairs}) == len(files)
    assert [pair.path for pair in pairs] == [str(tmp_path / file) for file in files]
    assert {pair.title for pair in pairs} == {"NA"}


def test_folder_csv_with_a_split_column(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("file,title,label,split,start,end\na.mp4,A,x,train,,\nb.mp4,B,y,val,1.5,3\n")
    pairs = read_pairs("own", folder_source(path, "train", "val", videos="media"))
    assert [(p.path, p.title, p.label, p.start, p.end) for p in pairs["train"]] == [
        ("media/a.mp4", "A", "x", 0.0, None)
    ]
    assert [(p.path, p.title, p.label, p.start, p.end) for p in pairs["val"]] == [("media/b.mp4", "B", "y", 1.5, 3.0)]
    assert len(read_pairs("own", folder_source(path, "all"))["all"]) == 2
    with pytest.raises(CpdError, match="split 'val' is not in `lists`"):
        read_pairs("own", folder_source(path, "train"))


def test_folder_row_without_a_file_is_told(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("file,title\n ,A\n")
    with pytest.raises(CpdError, match=r"own.csv:2: column 'file' is empty"):
        read_pairs("own", folder_source(path, "all"))


CLIP = "3012_10_THINGS_00.00.52.125-00.00.55.040"


def test_lsmdc_clip_with_two_sentences(tmp_path):
    (tmp_path / "videos").mkdir()
    path = tmp_path / "annos.csv"
    times = "00.00.52.125\t00.00.55.040\t00.00.52.125\t00.00.55.040"
    path.write_text(f"{CLIP}\t{times}\tSOMEONE waves.\n{CLIP}\t{times}\tHe runs.\n")
    source = Source(kind="lsmdc", lists={"train": str(path)}, pairs={"train": 2}, videos=str(tmp_path / "videos"))
    one, two = read_pairs("l", source)["train"]
    assert one.id != two.id
    assert ID.match(one.id)
    assert (one.title, two.title) == ("SOMEONE waves.", "He runs.")
    assert one.path == two.path == f"{tmp_path}/videos/3012_10_THINGS/{CLIP}.avi"


def test_lsmdc_wrong_columns_are_told(tmp_path):
    (tmp_path / "videos").mkdir()
    path = tmp_path / "annos.csv"
    path.write_text(f"{CLIP},a,b,c,d,SOMEONE waves.\n")
    source = Source(kind="lsmdc", lists={"train": str(path)}, pairs={"train": 1}, videos=str(tmp_path / "videos"))
    with pytest.raises(CpdError, match=r"annos.csv:1: 1 tab separated"):
        read_pairs("l", source)


def write_ucf(folder: Path, **changed: str) -> Source:
    lists = {"classInd": "1 Archery\r\n2 HandstandPushups\r\n"}
    archery, handstand = "Archery/v_Archery_g0{}_c01.avi", "HandstandPushups/v_HandStandPushups_g0{}_c01.avi"
    for fold in (1, 2, 3):
        rest = [n for n in (1, 2, 3) if n != fold]
        lists[f"trainlist0{fold}"] = "".join(f"{archery} 1\r\n{handstand} 2\r\n".replace("{}", str(n)) for n in rest)
        lists[f"testlist0{fold}"] = f"{archery}\r\n{handstand}\r\n".replace("{}", str(fold))
    folder.mkdir(exist_ok=True)
    for name, text in (lists | changed).items():
        (folder / f"{name}.txt").write_text(text, newline="")
    return Source(kind="ucf101", lists={"all": str(folder)}, pairs={"all": 6}, videos=str(folder / "videos"))


def test_ucf101_folds_and_the_handstand_trap(tmp_path):
    source = write_ucf(tmp_path / "lists")
    (tmp_path / "lists" / "videos" / "HandStandPushups").mkdir(parents=True)
    pairs = {pair.id: pair for pair in read_pairs("u", source)["all"]}
    assert len(pairs) == 6
    pair = pairs["v_HandStandPushups_g02_c01"]
    assert (pair.label, pair.title) == ("HandstandPushups", "")
    assert pair.folds == {"1": "train", "2": "test", "3": "train"}
    assert pair.path == f"{source.videos}/HandStandPushups/v_HandStandPushups_g02_c01.avi"
    assert pairs["v_Archery_g01_c01"].path == f"{source.videos}/Archery/v_Archery_g01_c01.avi"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"trainlist01": "Archery/v_Archery_g01_c01.avi 2\n"}, "class number 2, classInd.txt says 1"),
        ({"trainlist01": "Rowing/v_Rowing_g01_c01.avi 1\n"}, "not Class/file.avi of a class"),
        ({"trainlist01": "../v_Rowing_g01_c01.avi 1\n"}, "not Class/file.avi of a class"),
        ({"testlist02": "Archery/v_Archery_g01_c01.avi\n"}, "train and test of fold 2"),
        ({"classInd": "Archery\n"}, "classInd.txt:1"),
    ],
)
def test_ucf101_inconsistent_lists_are_told(tmp_path, changed, told):
    with pytest.raises(CpdError) as error:
        read_pairs("u", write_ucf(tmp_path / "lists", **changed))
    assert told in str(error.value)


def test_hmdb51_unused_files_have_no_fold(tmp_path):
    for fold, digits in (("1", "102"), ("2", "120"), ("3", "012")):
        lines = "".join(
            f"{name} {digit} \n" for name, digit in zip(("a#[1].avi", "b.avi", "c.avi"), digits, strict=True)
        )
        (tmp_path / f"brush_hair_test_split{fold}.txt").write_text(lines)
    source = Source(kind="hmdb51", lists={"all": str(tmp_path)}, pairs={"all": 3}, videos="videos")
    pairs = {Path(pair.path).name: pair for pair in read_pairs("h", source)["all"]}
    assert pairs["a#[1].avi"].folds == {"1": "train", "2": "train"}
    assert pairs["b.avi"].folds == {"2": "test", "3": "train"}
    assert {pair.label for pair in pairs.values()} == {"brush_hair"}
    assert pairs["a#[1].avi"].path == "videos/brush_hair/a#[1].avi"
    assert all(ID.match(pair.id) for pair in pairs.values())


def test_hmdb51_missing_fold_is_told(tmp_path):
    (tmp_path / "wave_test_split1.txt").write_text("a.avi 1\n")
    source = Source(kind="hmdb51", lists={"all": str(tmp_path)}, pairs={"all": 1}, videos="videos")
    with pytest.raises(CpdError, match="class 'wave' has lists for folds \\['1'\\]"):
        read_pairs("h", source)


@settings(max_examples=40)
@given(st.text(max_size=300), st.text(max_size=20))
def test_safe_ids_are_ids(name, unique):
    assert ID.match(safe_id(name, unique=unique))


def test_official_ucf101(official_lists):
    source = Source(kind="ucf101", lists={"all": str(official_lists / "ucf101")}, pairs={"all": 13320}, videos="v")
    pairs = read_pairs("u", source)["all"]
    assert len(pairs) == 13320
    assert len({pair.label for pair in pairs}) == 101
    for fold, (train, test) in {"1": (9537, 3783), "2": (9586, 3734), "3": (9624, 3696)}.items():
        assert Counter(pair.folds[fold] for pair in pairs) == {"train": train, "test": test}


def test_official_hmdb51(official_lists):
    source = Source(kind="hmdb51", lists={"all": str(official_lists / "hmdb51")}, pairs={"all": 6766}, videos="v")
    pairs = read_pairs("h", source)["all"]
    assert len(pairs) == 6766
    assert len({pair.id.lower() for pair in pairs}) == 6766
    for fold in ("1", "2", "3"):
        assert Counter(pair.folds.get(fold) for pair in pairs) == {"train": 3570, "test": 1530, None: 1666}


def test_official_kinetics(official_lists):
    folder = official_lists / "kinetics400"
    lists = {"val": str(folder / "kinetics-400_val.csv"), "test": str(folder / "kinetics-400_test.csv")}
    pairs = read_pairs("k", Source(kind="kinetics", lists=lists, pairs={"val": 19906, "test": 38685}, url=URL))
    assert {split: len(rows) for split, rows in pairs.items()} == {"val": 19906, "test": 38685}
    assert len({pair.label for pair in pairs["val"]}) == 400
    assert sorted({pair.label for pair in pairs["val"]}) == sorted(
        read_text(folder / "label_map_k400.txt").splitlines()
    )
    assert all(pair.url for rows in pairs.values() for pair in rows)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.2])
def test_official_kinetics_subsets_are_balanced(official_lists, fraction):
    """The 1, 10 and 20 % of PAPER's low-shot table: every class has its share, a seed gives the same again."""
    lists = {"val": str(official_lists / "kinetics400" / "kinetics-400_val.csv")}
    pairs = read_pairs("k", Source(kind="kinetics", lists=lists, pairs={"val": 19906}, url=URL))["val"]
    labels = [pair.label for pair in pairs]
    chosen = [balanced_subset(range(len(labels)), labels, fraction=fraction, seed=seed) for seed in (0, 0, 1)]
    whole, part = Counter(labels), Counter(labels[i] for i in chosen[0])
    assert part == {label: max(1, round(fraction * n)) for label, n in whole.items()}
    assert chosen[0] == chosen[1] != chosen[2]
