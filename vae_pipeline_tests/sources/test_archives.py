import io
import lzma
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from vae_pipeline.errors import ArchiveError, CatalogError, HashMismatchError, SourceError
from vae_pipeline.settings import Settings
from vae_pipeline.sources.archives import extract, extracted
from vae_pipeline_tests.builders.cmapss import entry, sha256, write_cmapss, zip_folder

LIMIT = 1 << 20


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def make_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            item = tarfile.TarInfo(name)
            item.size = len(content)
            file.addfile(item, io.BytesIO(content))
    return path


def left_over(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.name.startswith((".", "out")))


@pytest.mark.parametrize(("name", "mode"), [("a.zip", ""), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")])
def test_members_come_out(tmp_path, name, mode):
    members = {"top.txt": b"1", "deep/er/file.txt": b"2" * 5000}
    path = make_tar(tmp_path / name, members, mode) if mode else make_zip(tmp_path / name, members)
    out = extract(path, tmp_path / "out", LIMIT)
    assert {item.relative_to(out).as_posix(): item.read_bytes() for item in out.rglob("*.txt")} == members
    assert left_over(tmp_path) == ["out"]
    assert extract(path, tmp_path / "out", LIMIT) == out


def test_only_wanted_members_come_out(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"fan/a.wav": b"1", "fan/b.wav": b"2", "../evil": b"3"})
    out = extract(path, tmp_path / "out", LIMIT, members=["fan/a*"])
    assert [item.name for item in out.rglob("*.wav")] == ["a.wav"]


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/evil.txt", "..\\evil.txt", "C:\\evil.txt"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_paths_that_leave_the_folder_are_refused(tmp_path, make, name):
    path = make(tmp_path / "archive", {"good.txt": b"1", name: b"2"})
    with pytest.raises(ArchiveError, match="evil") as caught:
        extract(path, tmp_path / "out", LIMIT)
    assert str(path) in str(caught.value)
    assert left_over(tmp_path) == []
    assert not list(tmp_path.parent.glob("evil*"))


def test_symlink_in_zip_is_refused(tmp_path):
    item = zipfile.ZipInfo("link")
    item.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(item, "/etc/passwd")
    with pytest.raises(ArchiveError, match=r"'link'.*link or device"):
        extract(tmp_path / "a.zip", tmp_path / "out", LIMIT)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        item = tarfile.TarInfo("odd")
        item.type, item.linkname = kind, "/etc/passwd"
        file.addfile(item)
    with pytest.raises(ArchiveError, match=r"'odd'.*link or device"):
        extract(tmp_path / "a.tar", tmp_path / "out", LIMIT)


@pytest.mark.parametrize("make", [make_zip, lambda path, members: make_tar(path, members, "w:xz")])
def test_bomb_stops_at_the_ceiling(tmp_path, make):
    path = make(tmp_path / "bomb", {"zeros": bytes(5_000_000)})
    assert path.stat().st_size < 50_000
    with pytest.raises(ArchiveError, match=r"'zeros'.*max_unpacked_bytes = 1048576"):
        extract(path, tmp_path / "out", LIMIT)
    assert left_over(tmp_path) == []


def test_ceiling_counts_all_members_together(tmp_path):
    path = make_zip(tmp_path / "a.zip", {f"{number}": bytes(300_000) for number in range(4)})
    with pytest.raises(ArchiveError, match="'3'"):
        extract(path, tmp_path / "out", LIMIT)


def test_same_path_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a", "1")
        file.writestr("./a", "2")
    with pytest.raises(ArchiveError, match="same path"):
        extract(tmp_path / "a.zip", tmp_path / "out", LIMIT)
    make_tar(tmp_path / "b.tar", {"a": b"1", "a/b": b"2"})
    with pytest.raises(ArchiveError, match="same path"):
        extract(tmp_path / "b.tar", tmp_path / "out", LIMIT)


@pytest.mark.parametrize(("name", "mode"), [("a.zip", ""), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_cut_archives_are_told(tmp_path, name, mode, share):
    random = np.random.default_rng(0)
    members = {f"{number}.bin": random.bytes(3000) for number in range(8)}
    path = make_tar(tmp_path / name, members, mode) if mode else make_zip(tmp_path / name, members)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ArchiveError, match="delete it and download again, or check the mirror"):
        extract(path, tmp_path / "out", LIMIT)
    assert left_over(tmp_path) == []


def test_tar_cut_between_two_members_is_told(tmp_path):
    path = make_tar(tmp_path / "a.tar", {"a": bytes(512), "b": bytes(512)})
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(ArchiveError, match="end mark"):
        extract(path, tmp_path / "out", LIMIT)


def test_flipped_bytes_are_told(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"a.txt": bytes(range(256)) * 40})
    content = bytearray(path.read_bytes())
    content[60:70] = b"x" * 10
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged"):
        extract(path, tmp_path / "out", LIMIT)
    path = make_tar(tmp_path / "a.tar.xz", {"a.txt": b"abc" * 4000}, "w:xz")
    content = bytearray(path.read_bytes())
    content[40] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="damaged"):
        extract(path, tmp_path / "out", LIMIT)


def test_no_archive_at_all_is_told(tmp_path):
    (tmp_path / "a.zip").write_text("<html>not found</html>")
    with pytest.raises(ArchiveError, match=r"a\.zip: damaged"):
        extract(tmp_path / "a.zip", tmp_path / "out", LIMIT)
    (tmp_path / "b.xz").write_bytes(lzma.compress(b"no tar"))
    with pytest.raises(ArchiveError):
        extract(tmp_path / "b.xz", tmp_path / "out", LIMIT)


def official(tmp_path, **inner):
    raw = write_cmapss(tmp_path / "raw")
    zip_folder(raw, tmp_path / "packed" / "CMAPSSData.zip")
    return zip_folder(tmp_path / "packed", tmp_path / "mirror" / "sets" / "official.zip", "6. Turbofan/")


@pytest.mark.parametrize("nested", [True, False])
def test_zip_in_zip_and_inner_zip_alone(tmp_path, home, nested):
    path = official(tmp_path)
    if not nested:
        path.write_bytes((tmp_path / "packed/CMAPSSData.zip").read_bytes())
    dataset = entry(archive={"path": "sets/official.zip", "inner": "CMAPSSData.zip"})
    settings = Settings(home=home, data_mirror=str(tmp_path / "mirror"))
    folder = extracted(dataset, settings)
    assert sorted(file.name for file in folder.iterdir()) == ["RUL_FD001.txt", "test_FD001.txt", "train_FD001.txt"]
    assert folder.parent == home / "extracted"
    assert [item.name for item in folder.parent.iterdir()] == [folder.name]
    marked = folder / "train_FD001.txt"
    changed = marked.stat().st_mtime_ns
    assert extracted(dataset, settings) == folder
    assert marked.stat().st_mtime_ns == changed


def test_zip_in_zip_has_the_ceiling_too(tmp_path, home):
    official(tmp_path)
    dataset = entry(archive={"path": "sets/official.zip", "inner": "CMAPSSData.zip", "max_unpacked_bytes": 500})
    with pytest.raises(ArchiveError, match=r"CMAPSSData\.zip.*max_unpacked_bytes = 500"):
        extracted(dataset, Settings(home=home, data_mirror=str(tmp_path / "mirror")))
    assert list((home / "extracted").iterdir()) == []


def test_archive_beside_the_catalogue(tmp_path, settings):
    path = zip_folder(write_cmapss(tmp_path / "raw"), tmp_path / "own.zip")
    dataset = entry(base=str(tmp_path), archive={"path": "own.zip", "sha256": sha256(path)})
    assert (extracted(dataset, settings) / "train_FD001.txt").is_file()
    wrong = entry(base=str(tmp_path), archive={"path": "own.zip", "sha256": "1" * 64})
    with pytest.raises(HashMismatchError, match=r"own\.zip"):
        extracted(wrong, settings)


def test_changed_archive_is_unpacked_anew(tmp_path, settings):
    zip_folder(write_cmapss(tmp_path / "raw"), tmp_path / "own.zip")
    dataset = entry(base=str(tmp_path), archive={"path": "own.zip"})
    first = extracted(dataset, settings)
    zip_folder(write_cmapss(tmp_path / "raw", train_lengths=(9,)), tmp_path / "own.zip")
    assert extracted(dataset, settings) != first


def test_stated_folder_is_used_as_it_is(tmp_path, settings):
    write_cmapss(tmp_path / "raw")
    assert extracted(entry(base=str(tmp_path), folder="raw"), settings) == tmp_path / "raw"
    with pytest.raises(SourceError, match="gone"):
        extracted(entry(base=str(tmp_path), folder="gone"), settings)


def test_nothing_stated(settings):
    with pytest.raises(CatalogError, match="no archive, folder or files"):
        extracted(entry(), settings)
