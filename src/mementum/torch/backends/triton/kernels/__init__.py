"""The kernels, in Triton's language: imported when a device is first stepped on.

They are the compiled kernel's once more, for a device: same operations, same order,
each rounded once. What Triton does otherwise by itself is asked for by name: division
and root of IEEE 754 (`div_rn`, `sqrt_rn`; of float64 the operators are), comparisons
that let NaN win, and integers where a number is rounded to be stored. A launch forbids
contraction.

bfloat16 is uint16 here, and float8 codes are uint8; addresses come as int64.
p parameter, g gradient, m momentum, v square, k peak, c the twelve numbers.
"""
