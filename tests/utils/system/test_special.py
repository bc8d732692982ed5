"""The ufuncs of scipy come without its package, and are the same as with it."""

import subprocess
import sys

from tests.commands import ROOT

ALONE = """
import sys
from utils.system.special import special
alone = special().betaincinv
assert not {"scipy.special", "numpy.f2py"} & sys.modules.keys()
assert special().betaincinv is alone
import scipy.special
from scipy.stats import beta
assert scipy.special.betaincinv is special().betaincinv is alone
assert alone(2, 3, 0.3) == scipy.special.betaincinv(2, 3, 0.3)
assert abs(alone(2, 3, 0.3) - beta.ppf(0.3, 2, 3)) < 1e-12
"""


def test_the_functions_are_those_of_the_package_which_can_be_imported_later():
    ended = subprocess.run([sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_another_layout_of_the_package_is_imported_whole(monkeypatch):
    import scipy.special

    from utils.system import special

    monkeypatch.delitem(sys.modules, "scipy.special")
    monkeypatch.delitem(sys.modules, "scipy.special._ufuncs")
    monkeypatch.setattr(special, "scipy", type("Elsewhere", (), {"__file__": "/nowhere/__init__.py"}))
    assert special.special().betaincinv(2, 3, 0.3) == scipy.special.betaincinv(2, 3, 0.3)
