"""CelebA: the publisher's shares on the real files, layout, crop, groups and errors on small ones."""

import io

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

import paths_config
from tests.image_files import drawn, write
from utils.datasets.celeba import read_faces

real = pytest.mark.skipif(
    not (paths_config.data() / "celeba/list_attr_celeba.txt").is_file(),
    reason="no celeba in the data folder (TRILEMMA_DATA)",
)
ATTRIBUTES = ("Bald", "Male", "Smiling", "Young")
ROWS = 24
PARTS = [0] * 12 + [1] * 4 + [2] * 8
WIDTH, HEIGHT = 16, 32


def made(seed=0, **changes):
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/celeba.yaml")
    del config["defaults"]
    return instantiate(config, **{"size": 8} | changes)(seed=seed)


def jpeg(pixels, **options):
    """An image (h, w, 3) as a file, at the best quality there is."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **{"quality": 100, "subsampling": 0} | options)
    return stream.getvalue()


def table(count=None, lines=None):
    """The publisher's list: a count, the names, then 1 or -1 of each; here the bits of the row's number."""
    rows = [
        f"{i + 1:06}.jpg " + " ".join(f"{1 if i >> bit & 1 else -1:2d}" for bit in range(len(ATTRIBUTES)))
        for i in range(ROWS)
    ]
    lines = rows if lines is None else lines
    return "\n".join([str(len(lines) if count is None else count), " ".join(ATTRIBUTES) + " ", *lines, ""]).encode()


def partition(parts=PARTS):
    return "".join(f"{i + 1:06}.jpg {part}\n" for i, part in enumerate(parts)).encode()


def face(i):
    return jpeg(np.full((HEIGHT, WIDTH, 3), 10 * i, dtype=np.uint8))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a small CelebA, image i being grey of 10 i; tests replace files of it."""
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    write(tmp_path / "celeba", {"list_attr_celeba.txt": table(), "list_eval_partition.txt": partition()})
    write(tmp_path / "celeba/img_align_celeba", {f"{i + 1:06}.jpg": face(i) for i in range(ROWS)})
    return tmp_path / "celeba"


def replace_face(folder, number, content):
    write(folder / "img_align_celeba", {f"{number:06}.jpg": content})


@real
def test_the_real_shares_of_smiles_and_men_are_the_known_ones():
    """Of all 202,599 faces, 48.2 % smile and 41.7 % are of men; within three standard errors of 1,000."""
    dataset = made(rows=1000, valid_rows=1, test_rows=100)
    assert dataset.train.y.float().mean().item() == pytest.approx(0.482, abs=0.048)
    assert dataset.train.s.float().mean().item() == pytest.approx(0.417, abs=0.047)


@real
def test_the_real_faces_are_upright_and_in_the_middle():
    """Of the mean face, skin is redder than blue, the cheeks are brighter than the eyes above them."""
    mean = made(rows=1000, valid_rows=1, test_rows=100, size=64).train.x.float().mean(0)
    assert mean[0, 24:48, 20:44].mean() > mean[2, 24:48, 20:44].mean() + 20
    assert mean[:, 36:42, 18:46].mean() > mean[:, 29:33, 18:46].mean()


# Rows and splits


def test_the_splits_are_the_publishers(folder):
    dataset = made()
    parts = (dataset.train, dataset.valid, dataset.test)
    assert [part.index.tolist() for part in parts] == [[*range(12)], [*range(12, 16)], [*range(16, 24)]]


def test_a_partition_in_another_order_is_followed(folder):
    write(folder, {"list_eval_partition.txt": partition(PARTS[::-1])})
    dataset = made()
    assert dataset.train.index.tolist() == [*range(12, 24)]


def test_every_row_keeps_its_image_and_class(folder):
    """JPEG keeps a grey image within one step."""
    dataset = made(rows=6, valid_rows=3, test_rows=5)
    for part in (dataset.train, dataset.valid, dataset.test):
        assert (part.x.float() - 10 * part.index.reshape(-1, 1, 1, 1)).abs().max() <= 1
        assert torch.equal(part.y, part.index >> 2 & 1)


def test_draws_of_all_three_parts_have_their_size(folder):
    dataset = made(rows=6, valid_rows=3, test_rows=5)
    assert [len(part.y) for part in (dataset.train, dataset.valid, dataset.test)] == [6, 3, 5]


def test_the_class_is_the_attribute_chosen(folder):
    dataset = made(attribute="Bald", rows=12)
    assert dataset.class_names == ("not Bald", "Bald")
    assert torch.equal(dataset.train.y, dataset.train.index & 1)


def test_one_sensitive_attribute_makes_two_groups(folder):
    dataset = made()
    assert dataset.groups == ("Male=0", "Male=1")
    assert torch.equal(dataset.train.s, dataset.train.index >> 1 & 1)


def test_two_sensitive_attributes_make_four_groups_in_the_order_of_the_file(folder):
    dataset = made(sensitive=["Male", "Bald"])
    assert dataset.groups == ("Bald=0,Male=0", "Bald=0,Male=1", "Bald=1,Male=0", "Bald=1,Male=1")
    index = dataset.train.index
    assert torch.equal(dataset.train.s, 2 * (index & 1) + (index >> 1 & 1))


def test_without_sensitive_attributes_there_is_one_group(folder):
    dataset = made(sensitive=None)
    assert (dataset.groups, dataset.train.s.unique().tolist()) == (("all",), [0])


# Pixels


def test_the_central_square_is_kept(folder):
    """Bands of 8 above and below a square of 16, on JPEG's grid of 8."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[8:24] = 200
    replace_face(folder, 1, jpeg(pixels))
    assert (made(size=None).train.x[0].float() - 200).abs().max() <= 1


def test_images_stand_upright_and_channels_are_red_green_blue(folder):
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[8:16, :8, 0], pixels[8:16, 8:, 1], pixels[16:24, :8, 2] = 255, 255, 255
    replace_face(folder, 1, jpeg(pixels))
    image = made(size=None).train.x[0].float() / 255
    expected = torch.zeros(3, 16, 16)
    expected[0, :8, :8] = expected[1, :8, 8:] = expected[2, 8:, :8] = 1
    assert (image - expected).abs().max() < 0.02


def test_a_smaller_size_is_a_mean_over_all_pixels_it_covers(folder):
    """Of lines that alternate, the mean is grey; a filter that skips pixels would give black or white."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[::2] = 200
    replace_face(folder, 1, jpeg(pixels))
    inner = made(size=4).train.x[0, :, 1:3].float()
    assert (inner - 100).abs().max() <= 3


def test_grey_files_get_three_equal_channels(folder):
    stream = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT), 77).save(stream, "JPEG")
    replace_face(folder, 1, stream.getvalue())
    assert made().train.x[0].unique().tolist() == [77]


def test_threads_give_every_image_its_place(tmp_path):
    """More files than blocks of one thread, drawn in another order."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.jpg" for i in range(700)]
    for i, path in enumerate(paths):
        path.write_bytes(jpeg(np.full((8, 8, 3), i % 250, dtype=np.uint8)))
    wanted = rng.permutation(700)[:500]
    faces, _ = read_faces("toy", paths, wanted, None)
    assert (faces.float().mean((1, 2, 3)) - torch.from_numpy(wanted % 250)).abs().max() <= 1


# Fingerprint


def test_the_fingerprint_does_not_depend_on_draw_size_or_seed(folder):
    assert made(rows=6, test_rows=4, size=None, seed=2).fingerprint == made().fingerprint


@pytest.mark.parametrize("number", [1, 24])
def test_another_image_changes_the_fingerprint_drawn_or_not(folder, number):
    before = made(rows=6).fingerprint
    replace_face(folder, number, face(25))
    assert made(rows=6).fingerprint != before


def test_another_class_changes_the_fingerprint(folder):
    assert made(attribute="Bald").fingerprint != made().fingerprint


# What is refused


@pytest.mark.parametrize("part", ["img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"])
def test_a_missing_part_is_named_with_where_to_get_it(folder, part):
    (folder / part).rename(folder / "elsewhere")
    with pytest.raises(
        ValueError, match=rf"celeba/{part}\. .*mmlab.ie.cuhk.edu.hk/projects/CelebA.html.*TRILEMMA_DATA"
    ):
        made()


@pytest.mark.parametrize("content", [b"", b"no image", face(3)[:200], face(3)[:-40]])
def test_an_image_that_cannot_be_decoded_is_named(folder, content):
    replace_face(folder, 4, content)
    with pytest.raises(ValueError, match="000004.jpg cannot be decoded as JPEG"):
        made()


def test_an_image_that_is_listed_and_not_there_is_named(folder):
    (folder / "img_align_celeba/000004.jpg").unlink()
    with pytest.raises(ValueError, match="000004.jpg cannot be read .*list_attr_celeba.txt lists it"):
        made()


def test_an_image_of_another_size_is_named(folder):
    replace_face(folder, 4, jpeg(drawn(1, (20, 16, 3))[0]))
    with pytest.raises(ValueError, match="000004.jpg is of 16x20 pixels, and 000001.jpg of 16x32"):
        made()


@pytest.mark.parametrize(("what", "value"), [("attribute", "Smilling"), ("sensitive", ["Male", "Yung"])])
def test_an_attribute_that_does_not_exist_is_answered_with_near_misses(folder, what, value):
    near = "Smiling" if what == "attribute" else "Young"
    with pytest.raises(ValueError, match=rf"list_attr_celeba.txt, {what}=.*did you mean {near}\?"):
        made(**{what: value})


def test_a_sensitive_attribute_that_never_changes_is_refused(folder):
    write(folder, {"list_attr_celeba.txt": table(lines=[f"{i + 1:06}.jpg 1 -1 {(-1) ** i} 1" for i in range(ROWS)])})
    with pytest.raises(ValueError, match="celeba: the sensitive attribute Male is 0 of every image"):
        made()


def test_a_class_without_images_is_named(folder):
    write(folder, {"list_attr_celeba.txt": table(lines=[f"{i + 1:06}.jpg 1 {(-1) ** i} 1 1" for i in range(ROWS)])})
    with pytest.raises(ValueError, match="celeba: the training split has no image of not Smiling"):
        made()


def test_a_line_of_another_kind_is_named(folder):
    write(folder, {"list_attr_celeba.txt": table(lines=["000001.jpg 1 -1 0 1"])})
    with pytest.raises(ValueError, match=r"list_attr_celeba.txt, line 3: not a file name and 1 or -1 for each of 4"):
        made()


@pytest.mark.parametrize("content", [table(count=25), table(lines=[]), b"24\n", b"24\n\n"])
def test_a_list_cut_short_is_named(folder, content):
    write(folder, {"list_attr_celeba.txt": content})
    with pytest.raises(ValueError, match=r"list_attr_celeba.txt announces \d+ images and lists"):
        made()


@pytest.mark.parametrize("parts", [PARTS[:-1], [*PARTS[:-1], 3]])
def test_an_image_without_split_is_named(folder, parts):
    write(folder, {"list_eval_partition.txt": partition(parts)})
    with pytest.raises(
        ValueError, match=r"list_eval_partition.txt: the split of 000024.jpg is (None|3), not 0, 1 or 2"
    ):
        made()


def test_more_rows_than_there_are_are_refused(folder):
    with pytest.raises(ValueError, match="celeba: valid_rows=5, but there are 4 validation images"):
        made(valid_rows=5)


def test_a_size_above_the_files_is_refused(folder):
    with pytest.raises(ValueError, match="celeba: size=17, but the images are of 32x16"):
        made(size=17)


def test_reading_says_so(folder, capsys):
    made(rows=6)
    assert capsys.readouterr().err == "celeba: reading 24 files, decoding 18\n"
