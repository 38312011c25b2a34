"""What the host and the kernels agree on, told to either without importing Triton."""

from __future__ import annotations

# Elements of a program of a flat step, in slices of these many where it is masked;
# blocks of a program of float8; and elements of a program that squares gradients.
FLAT, SLICE, BLOCKS, PIECE = 1024, 128, 4, 4096

# The rows of a bucket's table of facts, whose columns are parameters: how many
# elements, the number of the first, what stands for the parameter in the noise that
# rounds moments and parameter, how many elements a row of dimension 0 has, by how much
# numbers and the parameter's places differ from row to row, and from there on sizes and
# strides of the dimensions, the last one first.
ELEMENTS, FIRST, STATE_IDENTITY, PARAM_IDENTITY = range(4)
ROW, ROW_NUMBERS, ROW_PLACES, DIMENSIONS = range(4, 8)
