"""Outputs appear whole or not at all, locally and on a remote root, and every refusal is one sentence."""

import errno
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fsspec.registry import _registry as imported_clients
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from vae_pipeline.errors import SettingError, StorageError
from vae_pipeline.records import Window
from vae_pipeline.storage import MANIFEST, Storage, fetch_finished, fingerprint, finished, write_bytes, write_json

pytestmark = pytest.mark.services

KEY = "timeseries/FD001/raw/0a1b"


@pytest.fixture
def storage(any_root: str, tmp_path: Path) -> Storage:
    return Storage(any_root, tmp_path / "cache")


def keep(storage: Storage, text: str, key: str = KEY) -> None:
    with storage.new_folder(key, {"text": text}) as folder:
        (folder / "part").mkdir()
        (folder / "part" / "data.txt").write_text(text)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() or path.name.startswith("."))


class TestFolders:
    def test_a_finished_folder_is_read_back(self, storage: Storage) -> None:
        keep(storage, "first")
        assert storage.exists(KEY)
        assert (storage.folder(KEY) / "part" / "data.txt").read_text() == "first"
        assert storage.manifest(KEY) == {"text": "first"}

    def test_the_manifest_may_be_filled_inside(self, storage: Storage) -> None:
        manifest: dict[str, Any] = {}
        with storage.new_folder(KEY, manifest):
            manifest["rows"] = 3
        assert storage.manifest(KEY) == {"rows": 3}

    def test_nothing_is_seen_before_the_end(self, storage: Storage) -> None:
        with storage.new_folder(KEY, {}) as folder:
            (folder / "data.txt").write_text("half")
            assert not storage.exists(KEY)
            with pytest.raises(StorageError, match="no finished output"):
                storage.folder(KEY)
        assert storage.exists(KEY)

    @pytest.mark.parametrize("failure", [ValueError("wrong"), KeyboardInterrupt()])
    def test_a_crash_inside_leaves_nothing(self, storage: Storage, tmp_path: Path, failure: BaseException) -> None:
        def crash() -> None:
            with storage.new_folder(KEY, {}) as folder:
                (folder / "data.txt").write_text("half")
                raise failure

        with pytest.raises(type(failure)):
            crash()
        assert not storage.exists(KEY)
        assert leftovers(tmp_path) == []

    def test_a_second_writer_keeps_the_first(self, storage: Storage, tmp_path: Path) -> None:
        keep(storage, "first")
        keep(storage, "second")
        assert (storage.folder(KEY) / "part" / "data.txt").read_text() == "first"
        assert storage.manifest(KEY) == {"text": "first"}
        assert not [name for name in leftovers(tmp_path) if name.startswith(".")]

    def test_two_writers_at_once_leave_one_whole_folder(self, storage: Storage) -> None:
        with storage.new_folder(KEY, {"text": "outer"}) as folder:
            (folder / "data.txt").write_text("outer")
            keep(storage, "inner")
        assert storage.manifest(KEY) == {"text": "inner"}
        assert not (storage.folder(KEY) / "data.txt").exists()

    def test_what_is_not_there_is_named(self, storage: Storage) -> None:
        for read in (storage.folder, storage.manifest):
            with pytest.raises(StorageError, match=rf"{KEY}: no finished output is kept there; materialize"):
                read(KEY)


class TestLocal:
    def test_an_unfinished_folder_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / KEY).mkdir(parents=True)
        (tmp_path / KEY / "data.txt").write_text("of a killed run")
        storage = Storage(str(tmp_path), tmp_path / "cache")
        keep(storage, "new")
        assert leftovers(tmp_path / KEY) == ["data.txt", MANIFEST]
        assert storage.manifest(KEY) == {"text": "new"}

    def test_a_writer_that_is_faster_by_a_moment_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        storage = Storage(str(tmp_path), tmp_path / "cache")
        rename = os.rename

        def late(source: Path, target: Path) -> None:
            monkeypatch.setattr(os, "rename", rename)
            keep(storage, "faster")
            rename(source, target)

        monkeypatch.setattr(os, "rename", late)
        keep(storage, "slower")
        assert storage.manifest(KEY) == {"text": "faster"}

    @pytest.mark.parametrize("left", [False, True])
    def test_a_folder_that_is_finished_between_two_looks_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bool
    ) -> None:
        storage = Storage(str(tmp_path), tmp_path / "cache")
        if left:
            (tmp_path / KEY).mkdir(parents=True)
            (tmp_path / KEY / "data.txt").write_text("of a killed run")
        exists = Path.exists

        def late(path: Path, **options: Any) -> bool:
            found = exists(path, **options)
            if path == tmp_path / KEY / MANIFEST:
                monkeypatch.setattr(Path, "exists", exists)
                keep(storage, "faster")
            return found

        monkeypatch.setattr(Path, "exists", late)
        keep(storage, "slower")
        assert storage.manifest(KEY) == {"text": "faster"}
        assert (tmp_path / KEY / "part" / "data.txt").read_text() == "faster"
        assert not list((tmp_path / KEY).parent.glob(".work-*"))

    def test_every_file_is_on_disk_before_the_folder_is_seen(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage, flushed = Storage(str(tmp_path), tmp_path / "cache"), []
        fsync = os.fsync

        def note(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            flushed.append((path.name, storage.exists(KEY)))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", note)
        keep(storage, "first")
        assert {("data.txt", False), ("part", False), (MANIFEST, False), ("raw", True)} <= set(flushed)

    def test_others_may_read(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path), tmp_path / "cache")
        keep(storage, "first")
        assert stat.S_IMODE(storage.folder(KEY).stat().st_mode) == 0o755
        assert stat.S_IMODE((storage.folder(KEY) / MANIFEST).stat().st_mode) == 0o644

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (errno.ENOSPC, "the disk is full"),
            (errno.EDQUOT, "quota"),
            (errno.EROFS, "read-only"),
            (errno.EACCES, "permission denied"),
        ],
    )
    @pytest.mark.parametrize("call", ["replace", "rename", "fsync", "mkdir"])
    def test_a_refusal_names_the_setting(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, call: str
    ) -> None:
        storage = Storage(str(tmp_path / "storage"), tmp_path / "cache")

        def refuse(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match=rf"^{tmp_path}.*{words}.*VAE_PIPELINE_HOME"):
            keep(storage, "first")
        monkeypatch.undo()
        assert not storage.exists(KEY)
        assert leftovers(tmp_path) == []

    def test_a_disk_that_fills_while_a_stage_writes(self, tmp_path: Path) -> None:
        storage = Storage(str(tmp_path), tmp_path / "cache")

        def fill() -> None:
            with storage.new_folder(KEY, {}), Path("/dev/full").open("wb", buffering=0) as file:
                file.write(b"rows")

        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        with pytest.raises(StorageError, match="the disk is full: free space or set VAE_PIPELINE_HOME"):
            fill()

    def test_a_read_only_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "storage"
        folder.mkdir(mode=0o555)
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(StorageError, match="permission denied: set VAE_PIPELINE_HOME"):
            keep(Storage(str(folder), tmp_path / "cache"), "first")

    def test_a_file_where_the_root_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StorageError, match="a file stands where a folder is needed: set VAE_PIPELINE_HOME"):
            keep(Storage(str(tmp_path / "file"), tmp_path / "cache"), "first")

    def test_an_error_about_another_file_is_not_about_storage(self, tmp_path: Path) -> None:
        def read_source() -> None:
            with Storage(str(tmp_path / "a" / "storage"), tmp_path / "cache").new_folder(KEY, {}):
                (tmp_path / "b" / "raw.csv").read_text()

        with pytest.raises(FileNotFoundError):
            read_source()


class TestRemote:
    def test_another_machine_reads_it_through_its_own_cache(self, remote_root: str, tmp_path: Path) -> None:
        keep(Storage(remote_root, tmp_path / "here"), "first")
        there = Storage(remote_root, tmp_path / "there")
        folder = there.folder(KEY)
        assert folder == tmp_path / "there" / KEY
        assert (folder / "part" / "data.txt").read_text() == "first"
        assert (folder / MANIFEST).exists()

    def test_it_is_copied_once(self, remote_root: str, tmp_path: Path) -> None:
        keep(Storage(remote_root, tmp_path / "here"), "first")
        there = Storage(remote_root, tmp_path / "there")
        there.folder(KEY)
        for held in there.files(KEY):
            if held.key.endswith("data.txt"):
                there.remove(held.key)
        assert (there.folder(KEY) / "part" / "data.txt").read_text() == "first"

    def test_a_copy_of_another_store_is_not_taken_for_this_ones(self, remote_root: str, tmp_path: Path) -> None:
        for place, text in (("test", "of test"), ("prod", "of prod")):
            keep(Storage(f"{remote_root}/{place}", tmp_path / place), text)
        for place, text in (("test", "of test"), ("prod", "of prod")):
            storage = Storage(f"{remote_root}/{place}", tmp_path / "one home")
            assert (storage.folder(KEY) / "part" / "data.txt").read_text() == text
            assert storage.manifest(KEY) == {"text": text}

    def test_what_was_deleted_and_made_again_is_read_everywhere(self, remote_root: str, tmp_path: Path) -> None:
        here, there = Storage(remote_root, tmp_path / "here"), Storage(remote_root, tmp_path / "there")
        keep(here, "damaged")
        there.folder(KEY)
        for held in here.files(KEY):
            here.remove(held.key)
        keep(here, "whole")
        for storage in (here, there):
            assert (storage.folder(KEY) / "part" / "data.txt").read_text() == "whole"
        assert not list(tmp_path.rglob(".work-*"))

    def test_the_first_machine_wins_everywhere(self, remote_root: str, tmp_path: Path) -> None:
        here, there = Storage(remote_root, tmp_path / "here"), Storage(remote_root, tmp_path / "there")
        keep(here, "first")
        keep(there, "second")
        assert (there.folder(KEY) / "part" / "data.txt").read_text() == "first"
        assert there.manifest(KEY) == {"text": "first"}

    def test_without_its_manifest_a_folder_does_not_exist(self, remote_root: str, tmp_path: Path) -> None:
        (UPath(remote_root) / KEY / "data.txt").write_text("half an upload")
        storage = Storage(remote_root, tmp_path)
        assert not storage.exists(KEY)
        keep(storage, "whole")
        assert storage.manifest(KEY) == {"text": "whole"}

    def test_the_manifest_is_uploaded_last(
        self, remote_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage, sent = Storage(remote_root, tmp_path), []
        client = storage.root.fs

        def noted(call: Any, place: int) -> Any:
            def note(*arguments: Any, **options: Any) -> None:
                sent.append(re.sub(r".*0a1b/(_files-\w+/)?", "", arguments[place]))
                call(*arguments, **options)

            return note

        monkeypatch.setattr(client, "put_file", noted(client.put_file, 1))
        monkeypatch.setattr(client, "pipe_file", noted(client.pipe_file, 0))
        with storage.new_folder(KEY, {}) as folder:
            for name in ("a", "z"):
                (folder / name).mkdir()
                (folder / name / MANIFEST).write_text("{}")
        assert sorted(sent) == [f"a/{MANIFEST}", MANIFEST, f"z/{MANIFEST}"]
        assert sent[-1] == MANIFEST

    def test_an_upload_that_breaks_leaves_nothing_visible(
        self, remote_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class ClientError(Exception):
            """Clients of object stores raise classes of their own."""

        def broken(*_: object, **__: object) -> None:
            msg = "connection reset"
            raise ClientError(msg)

        storage = Storage(remote_root, tmp_path)
        monkeypatch.setattr(storage.root.fs, "put_file", broken)
        with pytest.raises(StorageError, match=r"^(memory|s3)://.*connection reset; check VAE_PIPELINE_STORAGE"):
            keep(storage, "first")
        monkeypatch.undo()
        assert not storage.exists(KEY)
        assert leftovers(tmp_path) == []

    def test_an_unreachable_root_is_named(
        self, remote_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = Storage(remote_root, tmp_path)

        def denied(*_: object) -> bool:
            raise PermissionError

        monkeypatch.setattr(storage.root.fs, "info", denied)
        with pytest.raises(StorageError, match="PermissionError; check VAE_PIPELINE_STORAGE, its credentials"):
            storage.exists(KEY)

    @pytest.mark.parametrize("address", ["nowhere://bucket", "s4://bucket/prefix"])
    def test_an_unknown_kind_of_address(self, address: str, tmp_path: Path) -> None:
        with pytest.raises(SettingError, match=rf"VAE_PIPELINE_STORAGE='{address}' cannot be used"):
            Storage(address, tmp_path)

    def test_a_client_that_is_not_installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "s3fs", None)
        # fsspec keeps the classes it has once imported
        for name in ("s3", "s3a"):
            monkeypatch.delitem(imported_clients, name, raising=False)
        with pytest.raises(SettingError, match="install the extra 's3'"):
            Storage("s3://bucket/prefix", tmp_path)


class TestFingerprint:
    @given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none()))
    def test_order_does_not_matter(self, values: dict[str, object]) -> None:
        assert fingerprint(values) == fingerprint(dict(reversed(values.items())))

    def test_content_does(self) -> None:
        made = {
            fingerprint(part) for part in (1, 2, "1", None, [], {}, [1], {"a": 1}, {"a": 2}, Window(), Window(stride=2))
        }
        assert len(made) == 11
        assert all(len(text) == 16 for text in made)
        assert fingerprint("a", "b") != fingerprint("ab")

    def test_a_record_counts_by_its_content(self) -> None:
        assert fingerprint(Window(length=5)) == fingerprint({"length": 5, "stride": 1})

    def test_it_is_the_same_in_every_process(self) -> None:
        code = "import vae_pipeline.storage as s; print(s.fingerprint({'b': {'x', 'y', 'z'}, 'a': (1, 2.5)}, 'FD001'))"
        made = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2", "3")
        }
        assert made == {fingerprint({"a": [1, 2.5], "b": ["x", "y", "z"]}, "FD001") + "\n"}


class TestFiles:
    def test_a_file_is_replaced_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "a.json"
        write_json(path, Window(length=5))
        write_json(path, {"b": 1, "a": [1, 2]})
        assert path.read_text() == '{\n  "a": [\n    1,\n    2\n  ],\n  "b": 1\n}\n'
        assert leftovers(tmp_path) == ["a.json"]

    def test_nan_is_refused_before_anything_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="JSON compliant"):
            write_json(tmp_path / "a.json", {"loss": float("nan")})
        assert leftovers(tmp_path) == []

    def test_a_full_disk_keeps_the_old_content(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.txt"
        write_bytes(path, b"old")

        def refuse(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match=r"a\.txt: the disk is full"):
            write_bytes(path, b"new")
        assert path.read_bytes() == b"old"
        assert leftovers(tmp_path) == ["a.txt"]


class TestNames:
    def test_are_of_what_lies_right_below(self, storage: Storage) -> None:
        for key in ("predictions/b/2/x", "predictions/a/1/x", "predictions/file"):
            storage.write_text(key, "")
        assert storage.names("predictions") == ["a", "b", "file"]
        assert storage.names("predictions/a/1") == ["x"]

    def test_of_what_is_not_there_are_none(self, storage: Storage) -> None:
        assert storage.names("predictions") == []

    def test_are_those_of_now_whoever_wrote_them(self, storage: Storage, any_root: str, tmp_path: Path) -> None:
        storage.write_text("predictions/a", "")
        assert storage.names("predictions") == ["a"]
        Storage(any_root, tmp_path / "other").write_text("predictions/b", "")
        assert storage.names("predictions") == ["a", "b"]


class TestSmallFiles:
    def test_of_several_that_create_a_file_one_succeeds(self, storage: Storage, tmp_path: Path) -> None:
        assert storage.create_text("a/b.json", "first")
        assert not storage.create_text("a/b.json", "second")
        assert storage.read_text("a/b.json") == "first"
        assert [name for name in leftovers(tmp_path) if name.startswith(".")] == []

    def test_files_are_listed_with_their_sizes_and_change_when_they_do(self, storage: Storage) -> None:
        assert storage.files("a") == []
        storage.write_text("a/b/c.txt", "12345")
        storage.write_text("d.txt", "1")
        (held,) = storage.files("a")
        assert (held.key, held.size) == ("a/b/c.txt", 5)
        assert [each.key for each in storage.files()] == ["a/b/c.txt", "d.txt"]
        storage.write_text("a/b/c.txt", "54321")
        assert storage.files("a")[0].changed != held.changed

    def test_a_file_is_fetched_and_removed(self, storage: Storage, tmp_path: Path) -> None:
        storage.write_text("a/b.txt", "text")
        storage.fetch("a/b.txt", tmp_path / "deep" / "copy.txt")
        assert (tmp_path / "deep" / "copy.txt").read_text() == "text"
        for _ in range(2):
            storage.remove("a/b.txt")
        assert storage.files() == []
        with pytest.raises(StorageError):
            storage.fetch("a/b.txt", tmp_path / "copy.txt")

    def test_only_empty_folders_are_removed(self, storage: Storage, any_root: str) -> None:
        storage.write_text("a/b/c.txt", "1")
        storage.write_text("a/d/e.txt", "1")
        storage.remove("a/d/e.txt")
        storage.remove_empty("a")
        assert [held.key for held in storage.files()] == ["a/b/c.txt"]
        assert (storage.root / "a" / "b").exists()
        if "://" not in any_root:
            assert not Path(any_root, "a/d").exists()

    def test_a_file_in_place_of_the_root_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "root").write_text("-")
        with pytest.raises(StorageError, match="set VAE_PIPELINE_INCOMING to a folder"):
            Storage(str(tmp_path / "root"), tmp_path, "VAE_PIPELINE_INCOMING").files("timeseries")


def test_a_file_that_is_moved_lies_at_its_new_place_alone(storage):
    storage.write_bytes("staged/a", b"content")
    storage.move("staged/a", "incoming/line/a")
    assert not storage.has_text("staged/a")
    assert storage.read_bytes("incoming/line/a") == b"content"
    storage.remove("incoming/line/a")
    storage.remove("incoming/line/a")
    with pytest.raises(StorageError, match="nothing is kept there"):
        storage.read_bytes("incoming/line/a")


def contents(storage: Storage, into: Path) -> dict[str, bytes]:
    """What `finished` lists, fetched."""
    for key, held in finished(storage).items():
        fetch_finished(storage, held, into / key)
    return {path.relative_to(into).as_posix(): path.read_bytes() for path in into.rglob("*") if path.is_file()}


def test_every_kind_of_root_lists_the_same_keys(storage: Storage, tmp_path: Path) -> None:
    keep(storage, "x")
    storage.write_text("artifacts/raw.json", "loose")
    found = contents(storage, tmp_path / "fetched")
    assert set(found) == {f"{KEY}/part/data.txt", f"{KEY}/{MANIFEST}", "artifacts/raw.json"}
    assert json.loads(found[f"{KEY}/{MANIFEST}"]) == {"text": "x"}


def test_work_in_progress_is_not_listed(storage: Storage) -> None:
    storage.write_text(f"timeseries/.work-host:1/{MANIFEST}", "{}")
    storage.write_text("timeseries/.work-host:1/data.txt", "half")
    storage.write_text("artifacts/.raw.json.1.2", "half")
    assert finished(storage) == {}


def test_files_of_a_writer_that_came_late_are_not_listed(remote_root: str, tmp_path: Path) -> None:
    storage = Storage(remote_root, tmp_path / "cache")
    keep(storage, "first")
    storage.write_text(f"{KEY}/_files-{'0' * 32}/part/data.txt", "late")
    assert contents(storage, tmp_path / "fetched")[f"{KEY}/part/data.txt"] == b"first"


def test_files_of_a_folder_without_a_manifest_are_not_listed(remote_root: str, tmp_path: Path) -> None:
    storage = Storage(remote_root, tmp_path / "cache")
    storage.write_text(f"{KEY}/_files-{'0' * 32}/part/data.txt", "not done")
    assert finished(storage) == {}


def test_what_was_listed_and_stored_again_is_the_same_folder(storage: Storage, tmp_path: Path) -> None:
    keep(storage, "x")
    again = Storage(f"{storage.root}-again", tmp_path / "cache_again")
    for key in contents(storage, tmp_path / "fetched"):
        again.store(tmp_path / "fetched" / key, key)
    assert (again.folder(KEY) / "part" / "data.txt").read_text() == "x"
    assert again.manifest(KEY) == storage.manifest(KEY)
