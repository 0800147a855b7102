"""An estimate of the energy of a forward pass: what is multiplied, and what is fetched from memory.

    energy = 4.6 pJ x multiply-accumulates + 162.5 pJ x bytes from and to main memory

Both prices are from one table of a processor in 45 nm at 0.9 V: a product of two 32-bit numbers takes 3.7 pJ and a sum
0.9 pJ, and main memory 1.3 to 2.6 nJ for 64 bits, of which this is the lower end. Newer chips take several times less
of both, so that ratios say more than joules. How many bytes come from main memory depends on what stays near the
arithmetic, in caches and registers, which no count can know; so there are two ends:

- *at least*: weights and clip are fetched once, and everything between stays near.
- *at most*: nothing stays near, each operation fetches what it reads and stores what it makes.

Left out: caches, the control of the chip, what it takes at rest, the host, and products of fewer bits.

Source: Horowitz 2014, "Computing's energy problem (and what we can do about it)", figure 1.1.9.
"""

MAC = 3.7e-12 + 0.9e-12  # joules
BYTE = 1.3e-9 / 8


def joules(macs: float, moved: float) -> float:
    """The estimate.

    Args:
        macs: multiply-accumulates.
        moved: bytes from and to main memory.
    """
    return MAC * macs + BYTE * moved
