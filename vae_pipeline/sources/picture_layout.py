"""Find the images of a dataset and say what each of them is, by the folders they lie in.

MVTec AD's layout is ``train/good/*``, ``test/<defect>/*`` and ``ground_truth/<defect>/<stem>_mask.*``, with ``good``
among the folders of ``test``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vae_pipeline.errors import DataError
from vae_pipeline.records import Dataset
from vae_pipeline.sources.decoding import SUFFIXES

__all__ = ["GOOD", "Place", "find_pictures"]

GOOD = "good"
"""The class of images without a defect."""

_TRUTH = "ground_truth"
_SUFFIXES = ", ".join(SUFFIXES)


@dataclass(frozen=True)
class Place:
    """An image that was found.

    Attributes:
        path: where it lies.
        unit: its path in the layout: ``test/scratch/000.png``.
        part: ``train`` or ``test``.
        defect: the class, ``good`` or the folder's name.
        mask: where its mask lies, None without one.
        mask_unit: the mask's path in the layout: ``ground_truth/scratch/000_mask.png``.
    """

    path: Path
    unit: str
    part: Literal["train", "test"]
    defect: str
    mask: Path | None = None
    mask_unit: str | None = None


def find_pictures(dataset: Dataset, root: Path) -> list[Place]:
    """All images of the dataset, sorted by unit; hidden files, and files of other suffixes, are passed over.

    MVTec AD's layout is looked for at any depth of ``root``, of several the folder that has the dataset's name. A
    user's own images (kind ``images``) may also be a folder ``good``, or files alone: all of them good, and no test.
    Their masks are optional, and may have their image's name without ``_mask``.

    Raises:
        DataError: there are no images, or none to learn from; a class is empty, or holds none of a known suffix; images
            lie outside of the classes; there are several datasets and none has the name; a mask belongs to no image.
    """
    bases = _bases(root)
    if bases:
        places = _layout(_chosen(bases, dataset, root))
    elif dataset.kind == "images":
        places = _all_good(root)
    else:
        msg = f"{root}: there is no folder train/good in it; correct the folder, archive or 'members' in the catalogue"
        raise DataError(msg)
    for place in places:
        _require_text(place.path, place.unit, place.mask_unit or "")
    return sorted(places, key=lambda place: place.unit)


def _bases(root: Path) -> list[Path]:
    """The folders at any depth that hold ``train/good``, but for those inside of another."""
    if (root / "train" / GOOD).is_dir():
        return [root]
    return [base for folder in _folders(root) for base in _bases(folder)]


def _chosen(bases: list[Path], dataset: Dataset, root: Path) -> Path:
    named = [base for base in bases if base.name == dataset.name]
    if len(named) == 1 or len(bases) == 1:
        return (named or bases)[0]
    msg = (
        f"{root}: holds several datasets, {bases[0].relative_to(root)} and {bases[1].relative_to(root)} among them, "
        f"and not one alone is named {dataset.name!r}; name the folder of one in the catalogue"
    )
    raise DataError(msg)


def _layout(base: Path) -> list[Place]:
    for part in ("train", "test", _TRUTH):
        loose = next((path for path in _children(base / part) if _is_picture(path)), None)
        if loose:
            msg = f"{loose}: lies in no class; move it into {part}/good or a folder named for its defect"
            raise DataError(msg if part != _TRUTH else msg.replace(f"{part}/good or ", ""))
    odd = next((folder for folder in _folders(base / "train") if folder.name != GOOD and _pictures(folder)), None)
    if odd:
        msg = f"{odd}: only good images are learnt from; move the folder into {base / 'test'}, or remove it"
        raise DataError(msg)
    places = [Place(path, _unit(base, path), "train", GOOD) for path in _class(base / "train" / GOOD)]
    if not (base / "test").is_dir():
        return places
    classes = _folders(base / "test")
    if not classes:
        raise _empty(base / "test")
    masks = _masks(base)
    for folder in classes:
        for path in _class(folder):
            mask = None if folder.name == GOOD else _mask_of(masks, path.relative_to(base / "test"))
            mask_unit = None if mask is None else _unit(base, mask)
            places.append(Place(path, _unit(base, path), "test", folder.name, mask, mask_unit))
    used = {place.mask for place in places}
    stray = next((path for path in masks.values() if path not in used), None)
    if stray:
        msg = f"{stray}: no image of {base / 'test'} has this mask; name it <image>_mask{stray.suffix}, or remove it"
        raise DataError(msg)
    return places


def _masks(base: Path) -> dict[tuple[str, str], Path]:
    """Masks by the folder below ``ground_truth`` and the stem."""
    root = base / _TRUTH
    return {(path.parent.relative_to(root).as_posix(), path.stem): path for path in _pictures(root)}


def _mask_of(masks: dict[tuple[str, str], Path], image: Path) -> Path | None:
    folder = image.parent.as_posix()
    return masks.get((folder, f"{image.stem}_mask")) or masks.get((folder, image.stem))


def _all_good(root: Path) -> list[Place]:
    """A folder ``good``, or files alone, below folders that hold nothing else."""
    here = root
    while True:
        good = here / GOOD
        loose = [path for path in _children(here) if _is_picture(path)]
        others = [folder for folder in _folders(here) if folder != good and _pictures(folder)]
        if good.is_dir():
            if others or loose:
                msg = (
                    f"{(others or loose)[0]}: lies beside the folder {GOOD!r}; move that to train/{GOOD} and images "
                    "with defects to test/<defect>"
                )
                raise DataError(msg)
            return [Place(path, _unit(here, path), "train", GOOD) for path in _class(good)]
        if loose:
            if others:
                msg = (
                    f"{others[0]}: holds images beside those in {here}; put good images into train/{GOOD} and images "
                    "with defects into test/<defect>"
                )
                raise DataError(msg)
            return [Place(path, _unit(here, path), "train", GOOD) for path in loose]
        if len(others) != 1:
            break
        here = others[0]
    if others:
        msg = f"{here}: holds images in several folders; put good ones into train/{GOOD}, others into test/<defect>"
        raise DataError(msg)
    msg = f"{root}: holds no image ({_SUFFIXES}); correct the folder in the catalogue, or put images there"
    raise DataError(msg)


def _class(folder: Path) -> list[Path]:
    """The images of a class, of which there must be some."""
    found = _pictures(folder)
    if not found:
        if any(path.is_file() for path in _children(folder)):
            msg = f"{folder}: holds files but none that ends in {_SUFFIXES}; save the images as one of these"
            raise DataError(msg)
        raise _empty(folder)
    return found


def _empty(folder: Path) -> DataError:
    return DataError(f"{folder}: is empty; put images there or remove it")


def _pictures(folder: Path) -> list[Path]:
    """Files at any depth that are named like images."""
    return list(_walk(folder, folder.resolve()))


def _walk(folder: Path, above: Path) -> Iterator[Path]:
    for path in _children(folder):
        if path.is_dir():
            # a link that leads back up would never end
            if not above.is_relative_to(path.resolve()):
                yield from _walk(path, path.resolve())
        elif _is_picture(path):
            yield path


def _children(folder: Path) -> list[Path]:
    """What lies in a folder and is not hidden, sorted; nothing where there is no such folder."""
    if not folder.is_dir():
        return []
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        msg = f"{folder}: cannot be read ({error.strerror}); check its permissions"
        raise DataError(msg) from error
    return [path for path in found if not path.name.startswith((".", "__MACOSX"))]


def _folders(folder: Path) -> list[Path]:
    real = folder.resolve()
    return [path for path in _children(folder) if path.is_dir() and not real.is_relative_to(path.resolve())]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _unit(base: Path, path: Path) -> str:
    return path.relative_to(base).as_posix()


def _require_text(path: Path, *names: str) -> None:
    try:
        "".join(names).encode()
    except UnicodeEncodeError as error:
        msg = f"{str(path)!r}: the name is no valid UTF-8; rename the file or its folder"
        raise DataError(msg) from error
