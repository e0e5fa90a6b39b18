import gzip
import hashlib
import io
import lzma
import stat
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest

from vae_pipeline.errors import ArchiveError, CatalogError, DownloadError, HashMismatchError, SourceError
from vae_pipeline.settings import Settings
from vae_pipeline.sources.archives import archives_of, extract, extracted, fetched_archive
from vae_pipeline.sources.load import source_version
from vae_pipeline_tests.builders.cmapss import entry, sha256, write_cmapss, zip_folder
from vae_pipeline_tests.builders.pictures import picture_dataset

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


def header(kind, size, name="long"):
    item = tarfile.TarInfo(name)
    item.type, item.size = kind, size
    return item.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [b"x", b"g", b"X", b"L", b"K"])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "batch.zip"])
def test_a_header_is_not_read_into_memory_beyond_all_measure(tmp_path, kind, name):
    plain = header(kind, 64 << 20) + bytes(64 << 20) + header(tarfile.REGTYPE, 0, "a.txt") + bytes(1024)
    (tmp_path / name).write_bytes(plain if name == "a.tar" else gzip.compress(plain, 1))
    del plain
    tracemalloc.start()
    with pytest.raises(ArchiveError, match=r"member 'long' is refused because its header has more than 65536 bytes"):
        extract(tmp_path / name, tmp_path / "out", 1000)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert left_over(tmp_path) == []


def test_headers_of_a_negative_size_or_without_end_are_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(header(b"x", -5) + bytes(1024))
    with pytest.raises(ArchiveError, match="its header has more than"):
        extract(tmp_path / "a.tar", tmp_path / "out", 1000)
    (tmp_path / "b.tar").write_bytes((header(b"L", 3) + b"abc".ljust(512, b"\0")) * 5000)
    with pytest.raises(ArchiveError, match="damaged or cut off"):
        extract(tmp_path / "b.tar", tmp_path / "out", 1000)


def test_global_headers_are_not_gathered_without_end(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as file:
        for number in range(40):
            said = tarfile.TarInfo.create_pax_global_header({f"comment{number}": "x" * 4000})
            file.fileobj.write(said)
            file.offset += len(said)
            file.addfile(tarfile.TarInfo(f"{number}.txt"))
    with pytest.raises(ArchiveError, match="its header has more than"):
        extract(tmp_path / "a.tar", tmp_path / "out", 1000)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_come_out(tmp_path, form):
    name = "/".join(["ü" * 100] * 8) + "/a.txt"
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as file:
        for number in range(3):
            item = tarfile.TarInfo(f"{number}/{name}")
            item.size = 1
            file.addfile(item, io.BytesIO(b"1"))
    out = extract(tmp_path / "a.tar", tmp_path / "out", LIMIT)
    assert [path.relative_to(out).as_posix() for path in sorted(out.rglob("*.txt"))] == [
        f"{n}/{name}" for n in range(3)
    ]


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


def part_archive(path, *, name="part", others=()):
    """A tar.xz of small pictures below ``name``, and of the same below each of the other names."""
    members = {}
    for folder in (name, *others):
        for number in range(2):
            members[f"{folder}/train/good/{number:03d}.png"] = f"{folder} {number}".encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    return make_tar(path, members, "w:xz")


def part_entry(*paths, **fields):
    first, *others = ({"path": path} for path in paths)
    return picture_dataset(archive=first, alternatives=others, **fields)


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


class TestAlternatives:
    def test_the_first_is_taken_where_it_is_there(self, tmp_path, home):
        part_archive(tmp_path / "mirror/one.tar.xz", name="one")
        part_archive(tmp_path / "mirror/two.tar.xz", name="two")
        settings = Settings(home=home, data_mirror=str(tmp_path / "mirror"))
        assert names_in(extracted(part_entry("one.tar.xz", "two.tar.xz"), settings))[0].startswith("one/")

    def test_they_are_tried_in_order(self, tmp_path, home):
        for name in ("two", "three"):
            part_archive(tmp_path / f"mirror/{name}.tar.xz", name=name)
        settings = Settings(home=home, data_mirror=str(tmp_path / "mirror"))
        dataset = part_entry("one.tar.xz", "two.tar.xz", "three.tar.xz")
        archive, fetched = fetched_archive(dataset, settings)
        assert archive.path == "two.tar.xz"
        assert fetched.path == tmp_path / "mirror/two.tar.xz"
        assert names_in(extracted(dataset, settings))[0].startswith("two/")
        assert [item.path for item in archives_of(dataset)] == ["one.tar.xz", "two.tar.xz", "three.tar.xz"]

    def test_where_none_can_be_had_all_are_named_in_one_sentence(self, tmp_path, home):
        (tmp_path / "mirror").mkdir()
        settings = Settings(home=home, data_mirror=str(tmp_path / "mirror"))
        with pytest.raises(DownloadError) as told:
            extracted(part_entry("one.tar.xz", "two.tar.xz"), settings)
        assert "one.tar.xz" in str(told.value)
        assert "nor could two.tar.xz" in str(told.value)
        assert "\n" not in str(told.value)

    def test_one_that_is_not_what_the_catalogue_states_is_not_passed_over(self, tmp_path, home):
        part_archive(tmp_path / "mirror/one.tar.xz")
        part_archive(tmp_path / "mirror/two.tar.xz")
        dataset = picture_dataset(
            archive={"path": "one.tar.xz", "sha256": "0" * 64}, alternatives=[{"path": "two.tar.xz"}]
        )
        with pytest.raises(HashMismatchError, match=r"one\.tar\.xz"):
            extracted(dataset, Settings(home=home, data_mirror=str(tmp_path / "mirror")))

    def test_only_the_wanted_members_of_any_of_them_come_out(self, tmp_path, home):
        part_archive(tmp_path / "mirror/all.tar.xz", name="set/part", others=("set/cable", "part_of_another"))
        settings = Settings(home=home, data_mirror=str(tmp_path / "mirror"))
        wanted = ["part/*", "*/part/*"]
        folder = extracted(part_entry("part.tar.xz", "all.tar.xz", members=wanted), settings)
        assert names_in(folder) == [f"set/part/train/good/00{number}.png" for number in range(2)]
        everything = extracted(part_entry("part.tar.xz", "all.tar.xz"), settings)
        assert everything != folder
        assert len(names_in(everything)) == 6

    def test_what_the_version_says_follows_every_one_of_them(self, tmp_path, home):
        settings = Settings(home=home, data_mirror=str(tmp_path / "mirror"))
        part_archive(tmp_path / "mirror/two.tar.xz")
        dataset = part_entry("one.tar.xz", "two.tar.xz")
        before = source_version(dataset, settings)
        assert source_version(dataset, settings) == before
        extracted(dataset, settings)
        assert source_version(dataset, settings) == before
        part_archive(tmp_path / "mirror/two.tar.xz", others=("more",))
        assert source_version(dataset, settings) != before


class TestMd5:
    """MIMII's authors publish no sha256."""

    def archive(self, path, right, **more):
        found = hashlib.md5(path.read_bytes()).hexdigest() if right else "0" * 32  # noqa: S324
        return {"path": path.name, "md5": found, **more}

    @pytest.mark.parametrize("right", [True, False])
    def test_of_a_download_is_checked(self, site, settings, home, right):
        path = part_archive(site.folder / "one.tar.xz")
        dataset = picture_dataset(archive=self.archive(path, right, url=f"{site.address}/one.tar.xz"))
        if right:
            assert len(names_in(extracted(dataset, settings))) == 2
            return
        with pytest.raises(HashMismatchError, match=r"the md5 is .*, but the catalogue states 0000"):
            extracted(dataset, settings)
        assert not (home / "downloads/one.tar.xz").exists()

    @pytest.mark.parametrize("right", [True, False])
    @pytest.mark.parametrize("kind", ["folder", "http"])
    def test_of_an_unlisted_mirror_file_is_checked(self, site, home, kind, right):
        path = part_archive(site.folder / "one.tar.xz")
        settings = Settings(home=home, data_mirror=str(site.folder) if kind == "folder" else site.address)
        dataset = picture_dataset(archive=self.archive(path, right))
        if right:
            assert len(names_in(extracted(dataset, settings))) == 2
            return
        with pytest.raises(HashMismatchError, match="the md5 is"):
            extracted(dataset, settings)

    def test_does_not_count_where_the_mirror_lists_its_own_hash(self, site, home):
        path = part_archive(site.folder / "one.tar.xz")
        (site.folder / "SHA256SUMS").write_text(f"{sha256(path)}  one.tar.xz\n")
        settings = Settings(home=home, data_mirror=str(site.folder))
        assert len(names_in(extracted(picture_dataset(archive=self.archive(path, False)), settings))) == 2
