import errno
import json
import os

import pytest

from vae_pipeline.errors import DownloadError, HashMismatchError, SettingError, StorageError
from vae_pipeline.records import Archive
from vae_pipeline.settings import Settings
from vae_pipeline.sources import download
from vae_pipeline.sources.download import bring, fetch
from vae_pipeline.sources.mirror import Mirror, NotDeliveredError, shown
from vae_pipeline_tests.builders.cmapss import sha256

CLOSED = "http://127.0.0.1:9/official.zip"


def put(folder, path="sets/a.zip", content=b"content", listed=None):
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    if listed is not None:
        (folder / "SHA256SUMS").write_text(f"{'0' * 64}  other.zip\n{listed}  {path}\n")
    return sha256(file)


def files_in(home):
    return sorted(path.name for path in home.rglob("*") if path.is_file()) if home.exists() else []


def test_official_address_delivers(site, settings, home):
    digest = put(site.folder)
    archive = Archive(path="sets/a.zip", url=f"{site.address}/sets/a.zip", sha256=digest)
    got = bring(archive, settings)
    assert got.path == home / "downloads/sets/a.zip"
    assert got.path.read_bytes() == b"content"
    assert (got.sha256, got.origin) == (digest, archive.url)
    assert files_in(home) == ["a.zip", "a.zip.sha256"]


def test_finished_download_is_used_again(site, settings):
    archive = Archive(path="sets/a.zip", url=f"{site.address}/sets/a.zip", sha256=put(site.folder))
    first = fetch(archive, settings)
    assert fetch(archive, settings) == first
    assert site.paths == ["/sets/a.zip"]


def test_download_of_another_size_is_fetched_again(site, settings):
    archive = Archive(path="sets/a.zip", url=f"{site.address}/sets/a.zip", sha256=put(site.folder))
    fetch(archive, settings).write_bytes(b"cut")
    assert fetch(archive, settings).read_bytes() == b"content"


def test_new_hash_in_the_catalogue_is_fetched_again(site, settings):
    archive = Archive(path="sets/a.zip", url=f"{site.address}/sets/a.zip", sha256=put(site.folder))
    fetch(archive, settings)
    newer = archive.model_copy(update={"sha256": put(site.folder, content=b"CONTENT")})
    assert fetch(newer, settings).read_bytes() == b"CONTENT"


def test_damaged_note_is_no_note(site, settings, home):
    archive = Archive(path="sets/a.zip", url=f"{site.address}/sets/a.zip")
    put(site.folder)
    fetch(archive, settings)
    (home / "downloads/sets/a.zip.sha256").write_text("{")
    assert fetch(archive, settings).read_bytes() == b"content"
    assert len(site.paths) == 2


def test_official_file_put_there_by_hand_is_taken(settings, home):
    digest = put(home / "downloads")
    assert fetch(Archive(path="sets/a.zip", url=CLOSED, sha256=digest), settings).read_bytes() == b"content"


def test_wrong_hash_names_both_and_keeps_nothing(site, settings, home):
    digest = put(site.folder)
    archive = Archive(path="sets/a.zip", url=f"{site.address}/sets/a.zip", sha256="1" * 64)
    with pytest.raises(HashMismatchError) as caught:
        fetch(archive, settings)
    assert all(text in str(caught.value) for text in ("a.zip", digest, "1" * 64))
    assert files_in(home) == []


def test_broken_off_download_keeps_nothing(site, settings, home):
    put(site.folder)
    site.cut.add("/sets/a.zip")
    with pytest.raises(DownloadError, match=r"a\.zip .*VAE_PIPELINE_DATA_MIRROR"):
        fetch(Archive(path="sets/a.zip", url=f"{site.address}/sets/a.zip"), settings)
    assert files_in(home) == []
    assert list((home / "downloads/sets").iterdir()) == []


def test_mirror_is_tried_after_the_official_address(site, home, tmp_path):
    digest = put(site.folder, listed=None)
    put(tmp_path / "mirror", content=b"other packing")
    archive = Archive(path="sets/a.zip", url=f"{site.address}/sets/a.zip", sha256=digest)
    got = fetch(archive, Settings(home=home, data_mirror=str(tmp_path / "mirror")))
    assert got.read_bytes() == b"content"


def test_http_mirror_takes_over_with_its_own_hash(site, home):
    digest = put(site.folder)
    put(site.folder, listed=digest)
    archive = Archive(path="sets/a.zip", url=CLOSED, sha256="1" * 64)
    settings = Settings(home=home, data_mirror=site.address + "/")
    got = bring(archive, settings)
    assert (got.sha256, got.origin) == (digest, f"{site.address}/sets/a.zip")
    assert site.paths == ["/SHA256SUMS", "/sets/a.zip"]
    assert bring(archive, settings) == got
    assert len(site.paths) == 2


def test_http_mirror_that_lists_another_hash_is_refused(site, home):
    digest = put(site.folder, listed="2" * 64)
    with pytest.raises(HashMismatchError, match="SHA256SUMS") as caught:
        fetch(Archive(path="sets/a.zip", sha256=digest), Settings(home=home, data_mirror=site.address))
    assert digest in str(caught.value)
    assert files_in(home) == []


@pytest.mark.parametrize("kind", ["http", "folder", "fsspec"])
def test_unlisted_mirror_file_needs_the_catalogues_hash(site, home, kind):
    from upath import UPath

    digest = put(site.folder)
    UPath("memory://unlisted/sets/a.zip").write_bytes(b"content")
    address = {"http": site.address, "folder": str(site.folder), "fsspec": "memory://unlisted"}[kind]
    mirrored = Settings(home=home, data_mirror=address)
    with pytest.raises(HashMismatchError, match="the catalogue states"):
        fetch(Archive(path="sets/a.zip", sha256="1" * 64), mirrored)
    assert bring(Archive(path="sets/a.zip", sha256=digest), mirrored).sha256 == digest
    assert fetch(Archive(path="sets/a.zip"), mirrored).read_bytes() == b"content"


def test_mirror_folder_is_read_in_place_and_hashed_once(home, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    put(mirror, listed=put(mirror))
    mirrored = Settings(home=home, data_mirror=str(mirror))
    archive = Archive(path="sets/a.zip", url=CLOSED, sha256="1" * 64)
    hashed = []
    monkeypatch.setattr(download, "sha256_of", lambda path: hashed.append(path) or sha256(path))
    assert fetch(archive, mirrored) == fetch(archive, mirrored) == mirror / "sets/a.zip"
    assert len(hashed) == 1
    assert files_in(home) == ["a.zip.sha256"]

    put(mirror, content=b"changed")
    with pytest.raises(HashMismatchError):
        fetch(archive, mirrored)
    put(mirror, content=b"changed", listed=sha256(mirror / "sets/a.zip"))
    assert fetch(archive, mirrored).read_bytes() == b"changed"


def test_file_address_is_a_folder(tmp_path):
    assert Mirror(f"file://{tmp_path}").folder == tmp_path


def test_fsspec_mirror_delivers(home):
    from upath import UPath

    root = UPath("memory://bucket/prefix")
    (root / "sets/a.zip").write_bytes(b"content")
    archive = Archive(path="sets/a.zip", sha256="1" * 64)
    digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    (root / "SHA256SUMS").write_text(f"{digest} *./sets/a.zip\n")
    got = bring(archive, Settings(home=home, data_mirror="memory://bucket/prefix"))
    assert got.path == home / "downloads/sets/a.zip"
    assert got.sha256 == digest
    with pytest.raises(DownloadError, match=r"b\.zip \(no such file\)"):
        fetch(Archive(path="b.zip"), Settings(home=home, data_mirror="memory://bucket/prefix"))
    assert files_in(home) == ["a.zip", "a.zip.sha256"]


def test_unknown_mirror_protocol_is_a_setting_error(home):
    with pytest.raises(SettingError, match="VAE_PIPELINE_DATA_MIRROR"):
        fetch(Archive(path="a.zip"), Settings(home=home, data_mirror="nosuch://bucket"))


def test_every_address_is_listed_with_its_reason(site, home):
    archive = Archive(path="sets/a.zip", url=CLOSED)
    with pytest.raises(DownloadError) as caught:
        fetch(archive, Settings(home=home, data_mirror=site.address.replace("//", "//user:secret@")))
    text = str(caught.value)
    assert f"{CLOSED} (connection refused)" in text
    assert f"{site.address}/sets/a.zip (HTTP 404)" in text
    assert "VAE_PIPELINE_DATA_MIRROR" in text
    assert "secret" not in text


def test_missing_mirror_folder_is_said(home, tmp_path):
    with pytest.raises(DownloadError, match="the folder does not exist"):
        fetch(Archive(path="a.zip"), Settings(home=home, data_mirror=str(tmp_path / "nowhere")))


def test_no_address_at_all(settings):
    with pytest.raises(DownloadError, match=r"states no address; set VAE_PIPELINE_DATA_MIRROR"):
        fetch(Archive(path="a.zip"), settings)


@pytest.mark.parametrize("path", ["../a.zip", "/etc/a.zip", "a/../../b.zip"])
def test_path_stays_below_the_home(settings, path):
    with pytest.raises(DownloadError, match="relative"):
        fetch(Archive(path=path, url=CLOSED), settings)


def test_official_address_gets_one_short_try_with_a_mirror(home, tmp_path, monkeypatch):
    calls = []

    def refuse(url, temporary, tries, connect):
        calls.append((url, tries, connect))
        raise NotDeliveredError

    monkeypatch.setattr(download, "_download", refuse)
    archive = Archive(path="a.zip", url=CLOSED)
    for mirror in (str(tmp_path), None):
        with pytest.raises(DownloadError):
            fetch(archive, Settings(home=home, data_mirror=mirror))
    assert calls == [(CLOSED, 1, 3.0), (CLOSED, 3, 10.0)]


@pytest.mark.parametrize(("number", "advice"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only")])
def test_disk_refusals_are_storage_errors(site, home, monkeypatch, number, advice):
    put(site.folder)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(download.os, "replace", refuse)
    with pytest.raises(StorageError, match=advice):
        fetch(Archive(path="sets/a.zip"), Settings(home=home, data_mirror=site.address))
    assert files_in(home) == []


def test_note_has_no_credentials(site, home):
    put(site.folder)
    address = site.address.replace("//", "//user:secret@")
    fetch(Archive(path="sets/a.zip"), Settings(home=home, data_mirror=address))
    note = (home / "downloads/sets/a.zip.sha256").read_text()
    assert "secret" not in note
    assert json.loads(note)["size"] == 7
    assert shown("s3://bucket/a?key=1") == "s3://bucket/a"
