"""`python -m dferlib.cli` is the same as `dferlib`; `torchrun -m dferlib.cli train ...` needs it."""

from dferlib.cli import main

main()
