"""The program, all but its commands."""

import os

# products whose last bits do not depend on where in memory a matrix begins: otherwise those of a model whose widths are
# no multiples of a cache line would depend on the stack that it is part of; read by MKL before its first product
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
