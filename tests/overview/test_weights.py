from __future__ import annotations

from terrastore.overview import weights
from tests.overview.figures import key, weight

BASE, NUMPY, PANDAS, SIX = (
    weight("base", None, 10), weight("numpy", "2.1.0", 100), weight("pandas", "2.2.3", 150), weight("six", "1.17.0", 1)
)  # fmt: skip
NEWER = weight("numpy", "2.1.1", 120)
STORE = {key(1): (BASE, NUMPY), key(2): (BASE, NUMPY, PANDAS), key(3): (BASE, NEWER, SIX)}


def test_each_layer_is_counted_once() -> None:
    """By its digest, with what all its copies take, the heaviest first."""
    told = [(each.name, each.packed, each.stored, each.environments) for each in weights.counted(STORE)]
    assert [
        ("pandas", 150, 150, 1), ("numpy", 120, 120, 1), ("numpy", 100, 200, 2), ("base", 10, 30, 3), ("six", 1, 1, 1),
    ] == told  # fmt: skip
    assert [0, 0, 100, 20, 0] == [each.again for each in weights.counted(STORE)]


def test_a_layer_that_was_compressed_twice() -> None:
    """Copies of other lengths are of one layer: the largest counts once."""
    (layer,) = weights.counted({key(1): (NUMPY,), key(2): (NUMPY._replace(packed=90),)})
    assert (100, 190, 90) == (layer.packed, layer.stored, layer.again)


def test_packages_are_all_layers_of_a_name() -> None:
    """Of numpy there are two versions, the heavier one first."""
    first, *_ = weights.packages(weights.counted(STORE))
    assert ("numpy", ("2.1.1", "2.1.0"), 220, 320) == (first.name, first.versions, first.packed, first.stored)


def test_a_package_called_base_is_not_what_was_there_before() -> None:
    """What has no version is no package, whatever its name."""
    named = weights.packages(weights.counted({key(1): (BASE, weight("base", "1.0", 7))}))
    assert [("base", 10), ("base", 7)] == [(each.name, each.packed) for each in named]


def test_what_an_environment_has_alone() -> None:
    """It would be free without that environment, were layers stored once."""
    assert {key(1): 0, key(2): 150, key(3): 121} == weights.alone(STORE, weights.counted(STORE))


def test_what_each_two_have_in_common() -> None:
    """Both ways the same, and with itself an environment has all; those that are alike stand beside each other."""
    found = weights.sharing(STORE)
    place = {each: number for number, each in enumerate(found.keys)}
    one, two, three = place[key(1)], place[key(2)], place[key(3)]
    assert (110, 260, 131) == (found.common[one][one], found.common[two][two], found.common[three][three])
    assert 110 == found.common[one][two] == found.common[two][one]
    assert 10 == found.common[one][three] == found.common[three][one]
    assert 1 == abs(one - two)


def test_the_heaviest_packages_name_an_environment() -> None:
    """What is no package does not."""
    assert ["pandas", "numpy"] == weights.heaviest(STORE[key(2)], 2)
    assert ["six"] == weights.heaviest((weight("base", None, 10**6), SIX), 2)
