from utils.words.radii import everywhere


def test_everywhere_gives_each_row_the_same(dataset):
    rows = dataset("lin").test
    assert everywhere("1/4")(rows, None).tolist() == [0.25] * len(rows.y)
