import errno
import hashlib
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_pipeline.errors import DataError, StorageError
from vae_pipeline.sources import wav
from vae_pipeline.sources.files import place_file
from vae_pipeline.sources.recordings import INDEX, find_recordings, read_recordings
from vae_pipeline_tests.builders.cmapss import entry
from vae_pipeline_tests.builders.recordings import write_clip, write_recordings


def own(**fields):
    return entry(**{"name": "own", "kind": "recordings", **fields})


def read(root, folder, *, linked=False, **fields):
    return read_recordings(own(**fields), root, folder, linked=linked)


def units(root, **options):
    return [recording.unit for recording in find_recordings(root, **options)]


def tone(samples=1600, channels=1, height=0.1):
    return height * np.sin(np.arange(samples * channels).reshape(samples, channels))


def test_mimii_layout(tmp_path):
    write_recordings(tmp_path / "raw/fan/id_00", normal=3, abnormal=2, channels=8, format="WAVEX", seconds=0.1)
    parts = read(tmp_path / "raw", tmp_path / "out", kind="mimii")
    assert list(parts) == ["train"]
    table = parts["train"]
    assert table["unit"].tolist() == [
        "id_00/abnormal/00000000",
        "id_00/abnormal/00000001",
        "id_00/normal/00000000",
        "id_00/normal/00000001",
        "id_00/normal/00000002",
    ]
    assert table["label"].tolist() == [1, 1, 0, 0, 0]
    assert table["machine"].unique().tolist() == ["id_00"]
    assert (table["file"] == "files/" + table["unit"] + ".wav").all()
    for row in table.itertuples():
        source = tmp_path / "raw/fan" / str(row.file).removeprefix("files/")
        assert (tmp_path / "out" / str(row.file)).read_bytes() == source.read_bytes()
        assert row.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert table[["rate", "channels", "samples", "seconds", "format", "subtype"]].drop_duplicates().values.tolist() == [
        [16_000, 8, 1600, 0.1, "WAVEX", "PCM_16"]
    ]
    assert table["problem"].isna().all()


def test_an_index_is_the_same_after_parquet(tmp_path):
    write_recordings(tmp_path / "raw", seconds=0.05)
    (tmp_path / "raw/normal/zero.wav").write_bytes(b"")
    table = read(tmp_path / "raw", tmp_path / "out")["train"]
    assert {name: str(kind) for name, kind in table.dtypes.items()} == INDEX
    table.to_parquet(tmp_path / "train.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "train.parquet"), table)


@pytest.mark.parametrize(
    ("files", "expected", "machines"),
    [
        # what all clips share is left out, the folder above the classes names the machine
        (["x/fan/id_00/normal/a", "x/fan/id_00/abnormal/b"], ["id_00/abnormal/b", "id_00/normal/a"], ["id_00"] * 2),
        (["f/id_00/normal/a", "f/id_02/normal/a"], ["id_00/normal/a", "id_02/normal/a"], ["id_00", "id_02"]),
        (["fan/id_00/normal/a", "pump/id_00/normal/a"], ["fan/id_00/normal/a", "pump/id_00/normal/a"], None),
        (["normal/a", "abnormal/a"], ["abnormal/a", "normal/a"], [None, None]),
        (["Normal/day 1/a", "ABNORMAL/a"], ["ABNORMAL/a", "Normal/day 1/a"], [None, None]),
        (["a", "b"], ["a", "b"], [None, None]),
        (["hall/a", "hall/b"], ["hall/a", "hall/b"], ["hall", "hall"]),
        (["hall/a", "yard/a"], ["hall/a", "yard/a"], ["hall", "yard"]),
        (["good/a", "good/b"], ["good/a", "good/b"], ["good", "good"]),
        # a part is no machine
        (["train/normal/a", "test/normal/a", "test/abnormal/a"], None, [None] * 3),
        (["id_1/train/normal/a", "id_1/test/abnormal/a"], None, ["id_1"] * 2),
        (["train/id_1/normal/a", "train/id_2/normal/a", "test/id_1/normal/a"], None, ["id_1", "id_1", "id_2"]),
        (["train/a", "train/b", "test/abnormal/c"], ["test/abnormal/c", "train/a", "train/b"], [None] * 3),
        (["train/id_1/a", "test/id_1/normal/b"], None, ["id_1"] * 2),
    ],
)
def test_layouts(tmp_path, files, expected, machines):
    for name in files:
        write_clip(tmp_path / f"{name}.wav", tone(10))
    found = find_recordings(tmp_path)
    assert len({recording.unit for recording in found}) == len(files)
    if expected:
        assert [recording.unit for recording in found] == expected
    else:
        assert [recording.unit for recording in found] == sorted(recording.unit for recording in found)
    assert [recording.machine for recording in found] == (machines or ["fan/id_00", "pump/id_00"])
    for recording in found:
        folders = [folder.lower() for folder in recording.path.relative_to(tmp_path).parts]
        assert recording.label == int("abnormal" in folders)
        assert recording.part == ("test" if "test" in folders else "train")


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "x", "x/y", "y"]), st.sampled_from(["normal", "abnormal"]), st.integers(0, 3)),
        min_size=1,
        max_size=8,
        unique=True,
    )
)
def test_every_clip_is_found_once_with_its_label(tmp_path_factory, clips):
    root = tmp_path_factory.mktemp("clips")
    for head, label, number in clips:
        path = root / head / label / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    if all(label == "abnormal" for _, label, _ in clips):
        with pytest.raises(DataError, match="no normal clip"):
            find_recordings(root)
        return
    found = find_recordings(root)
    assert sorted((str(one.path.parent), one.label) for one in found) == sorted(
        (str(root / head / label), int(label == "abnormal")) for head, label, _ in clips
    )
    assert len({one.unit for one in found}) == len(clips)
    assert len({one.machine for one in found}) == len({head for head, _, _ in clips})
    assert all(one.path.as_posix().endswith(f"{one.unit}.wav") for one in found)


def test_parts_of_a_users_folder(tmp_path):
    write_recordings(tmp_path / "raw/train", normal=3, abnormal=0, seconds=0.1)
    write_recordings(tmp_path / "raw/test", normal=2, abnormal=2, seconds=0.1)
    parts = read(tmp_path / "raw", tmp_path / "out")
    assert {part: table["label"].tolist() for part, table in parts.items()} == {
        "train": [0, 0, 0],
        "test": [1, 1, 0, 0],
    }
    assert parts["train"]["machine"].unique().tolist() == ["own"]
    assert all((tmp_path / "out" / file).is_file() for table in parts.values() for file in table["file"])


def test_hidden_files_and_links_that_lead_up_are_passed_over(tmp_path):
    write_recordings(tmp_path / "raw", normal=1, abnormal=1, seconds=0.05)
    (tmp_path / "raw/normal/._00000000.wav").write_bytes(b"left by a Mac")
    write_clip(tmp_path / "raw/.trash/normal/a.wav", tone())
    write_clip(tmp_path / "raw/__MACOSX/normal/a.wav", tone())
    (tmp_path / "raw/normal/notes.txt").write_text("no sound")
    (tmp_path / "raw/normal/up").symlink_to(tmp_path / "raw")
    assert units(tmp_path / "raw") == ["abnormal/00000000", "normal/00000000"]


def test_a_linked_folder_is_followed(tmp_path):
    write_recordings(tmp_path / "elsewhere", normal=1, abnormal=0, seconds=0.05)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/normal").symlink_to(tmp_path / "elsewhere/normal")
    assert units(tmp_path / "raw") == ["normal/00000000"]


@pytest.mark.parametrize(
    ("files", "bare", "reason"),
    [
        ([], True, "holds no wav file"),
        (["normal/", "abnormal/a.wav"], True, "normal: holds no wav file"),
        (["id_0/normal/a.wav", "id_2/normal/", "id_2/abnormal/a.wav"], True, "id_2/normal: holds no wav file"),
        (["abnormal/a.wav"], True, "no normal clip to learn from"),
        (["train/abnormal/a.wav", "test/normal/a.wav"], True, "no normal clip to learn from"),
        (["a.wav"], False, r"a\.wav: lies in no folder 'normal' or 'abnormal'"),
        (["a.wav", "normal/b.wav"], True, r"a\.wav: lies outside of the folders 'normal' and 'abnormal'"),
        (["train/normal/b.wav", "a.wav"], True, r"a\.wav: lies neither in 'train' nor in 'test'"),
        (["train/a.wav", "test/b.wav"], True, r"test/b\.wav: a clip for the test lies in no class"),
        (["good/a.wav", "defect/b.wav"], True, r"defect/b\.wav: the folders tell clips apart, .* call them so"),
        (["id_0/OK/a.wav", "id_0/rattling/b.wav"], True, r"OK/a\.wav: the folders tell clips apart"),
        (["train/a.wav", "train/faulty/b.wav"], True, r"faulty/b\.wav: the folders tell clips apart"),
        (["test/normal/b.wav"], True, "holds clips in 'test' alone"),
        (["normal/a.wav", "normal/a.WAV"], True, "has the same name but for the suffix"),
        (["normal/\udcff.wav"], True, "no valid UTF-8"),
    ],
)
def test_a_folder_that_says_no_clear_thing_is_refused(tmp_path, files, bare, reason):
    for name in files:
        if name.endswith("/"):
            (tmp_path / name).mkdir(parents=True)
        else:
            write_clip(tmp_path / name, tone(10))
    with pytest.raises(DataError, match=reason) as told:
        find_recordings(tmp_path, bare=bare)
    assert str(tmp_path) in str(told.value)
    assert "\n" not in str(told.value)


def test_recordings_of_mimii_need_their_classes(tmp_path):
    write_clip(tmp_path / "raw/a.wav", tone())
    assert len(read(tmp_path / "raw", tmp_path / "out")["train"]) == 1
    with pytest.raises(DataError, match="in no folder 'normal'"):
        read(tmp_path / "raw", tmp_path / "out2", kind="mimii")


@pytest.mark.parametrize("block", [1 << 19, 100])
def test_figures_of_the_channel_in_use(tmp_path, monkeypatch, block):
    monkeypatch.setattr(wav, "_BLOCK", block)
    clip = tone(1000, 3).astype(np.float32)
    clip[[5, 700], 1] = 1.25, -0.9995
    clip[10, 2] = np.nan
    write_clip(tmp_path / "raw/a.wav", clip, subtype="FLOAT", rate=44_100)
    clip[20:22, 1] = np.nan, -np.inf
    write_clip(tmp_path / "raw/b.wav", clip, subtype="FLOAT", rate=44_100)
    table = read(tmp_path / "raw", tmp_path / "out", sound={"channel": 1})["train"].set_index("unit")
    used = clip[np.isfinite(clip[:, 1]), 1].astype(np.float64)
    assert table["rate"].tolist() == [44_100, 44_100]
    assert table["seconds"].tolist() == [1000 / 44_100] * 2
    assert table["broken_values"].tolist() == [1, 3]
    assert table["peak"].tolist() == [1.25, 1.25]
    assert table["clipped_share"].tolist() == [2 / 1000, 2 / 998]
    assert table.loc["b", "level_db"] == pytest.approx(10 * np.log10(np.mean(used**2)), abs=1e-6)
    assert table["silent"].tolist() == [False, False]
    assert table["problem"].isna().all()


def test_silence_has_a_finite_level(tmp_path):
    write_clip(tmp_path / "raw/a.wav", np.zeros(100))
    write_clip(tmp_path / "raw/b.wav", np.full(100, 2 / 32768))
    write_clip(tmp_path / "raw/c.wav", np.full(100, 4 / 32768))
    write_clip(tmp_path / "raw/d.wav", np.full(100, np.nan, dtype=np.float32), subtype="FLOAT")
    table = read(tmp_path / "raw", tmp_path / "out")["train"]
    assert table["silent"].tolist() == [True, True, False, True]
    assert table["level_db"].tolist() == pytest.approx([-200.0, 20 * np.log10(2**-14), 20 * np.log10(2**-13), -200.0])
    assert table["broken_values"].tolist() == [0, 0, 0, 100]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_encodings_are_on_one_scale(tmp_path, subtype):
    write_clip(tmp_path / "raw/a.wav", np.full((100, 2), 0.25), subtype=subtype, rate=48_000)
    (row,) = read(tmp_path / "raw", tmp_path / "out")["train"].to_dict("records")
    assert (row["subtype"], row["rate"], row["channels"]) == (subtype, 48_000, 2)
    assert row["peak"] == pytest.approx(0.25)
    assert row["level_db"] == pytest.approx(20 * np.log10(0.25))


def test_files_that_cannot_be_read_are_indexed_with_the_reason(tmp_path):
    raw = write_recordings(tmp_path / "raw", normal=1, abnormal=1, seconds=0.1, channels=2) / "normal"
    good = (raw / "00000000.wav").read_bytes()
    (raw / "cut.wav").write_bytes(good[: len(good) // 2])
    (raw / "text.wav").write_text("no sound")
    (raw / "zero.wav").write_bytes(b"")
    write_clip(raw / "mono.wav", tone(50))
    table = read(tmp_path / "raw", tmp_path / "out", sound={"channel": 1})["train"].set_index("unit")
    problems = table["problem"].dropna()
    assert problems.index.tolist() == ["normal/cut", "normal/mono", "normal/text", "normal/zero"]
    for unit, reason in {"cut": "cut off", "mono": "no channel 1", "text": "as a wav file", "zero": "is empty"}.items():
        assert problems[f"normal/{unit}"].startswith(f"normal/{unit}.wav: ")
        assert reason in problems[f"normal/{unit}"]
    assert table.loc["normal/mono", ["rate", "channels", "samples"]].tolist() == [16_000, 1, 50]
    assert table.loc["normal/zero", ["rate", "peak", "silent"]].isna().all()
    assert table["sha256"].notna().all()
    assert all((tmp_path / "out" / file).is_file() for file in table["file"])


def test_a_file_that_may_not_be_opened_is_indexed_and_left_where_it_is(tmp_path):
    write_recordings(tmp_path / "raw", normal=1, abnormal=0, seconds=0.1)
    (tmp_path / "raw/normal/gone.wav").symlink_to(tmp_path / "nowhere")
    table = read(tmp_path / "raw", tmp_path / "out")["train"]
    (row,) = table[table["problem"].notna()].to_dict("records")
    assert row["problem"].startswith("normal/gone.wav: cannot be read (No such file")
    assert row["sha256"] is None
    assert not (tmp_path / "out" / row["file"]).exists()


def test_linked_clips_are_one_file_on_disk(tmp_path):
    write_recordings(tmp_path / "raw", normal=1, abnormal=0, seconds=0.1)
    for linked in (True, False):
        read(tmp_path / "raw", tmp_path / f"out_{linked}", linked=linked)
        placed = tmp_path / f"out_{linked}/files/normal/00000000.wav"
        assert placed.samefile(tmp_path / "raw/normal/00000000.wav") is linked
        assert not placed.is_symlink()


def test_a_file_is_copied_where_links_are_impossible(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_bytes(b"content")
    place_file(tmp_path / "a", tmp_path / "deep/er/b", linked=True)
    assert (tmp_path / "deep/er/b").read_bytes() == b"content"
    assert not (tmp_path / "deep/er/b").samefile(tmp_path / "a")


def test_the_target_of_a_link_is_placed(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    place_file(tmp_path / "link", tmp_path / "b", linked=True)
    assert not (tmp_path / "b").is_symlink()
    assert (tmp_path / "b").read_bytes() == b"content"


def test_placing_says_which_side_failed(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="gone: cannot be read"):
        place_file(tmp_path / "gone", tmp_path / "b", linked=False)
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        place_file(tmp_path / "a", tmp_path / "file/b", linked=False)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StorageError, match="c: the disk is full"):
        place_file(tmp_path / "a", tmp_path / "c", linked=False)


def test_the_innermost_class_counts(tmp_path):
    write_clip(tmp_path / "normal/a.wav", tone(10))
    write_clip(tmp_path / "normal/abnormal/b.wav", tone(10))
    assert [(recording.path.stem, recording.label) for recording in find_recordings(tmp_path)] == [("a", 0), ("b", 1)]
