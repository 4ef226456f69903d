"""Build corpora, train and evaluate networks for all tasks.

Importing this package before PyTorch makes PyTorch's idle threads sleep (OMP_WAIT_POLICY=PASSIVE), unless the user has
chosen otherwise. By default they wait in a busy loop. Where another process shares the cores, each thread then waits
for one that cannot run, and training becomes ten times as slow.
"""

import os
import sys

# Each of these says how idle OpenMP threads wait: the first to every OpenMP library, the others to GNU's and LLVM's.
WAIT_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")

# An OpenMP library reads them once, when PyTorch loads it. Child processes inherit them.
if "torch" not in sys.modules and not any(name in os.environ for name in WAIT_SETTINGS):
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
