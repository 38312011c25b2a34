"""Low moments brought to float32 for paths that compute in tensors, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mementum.torch.backends.bucket import Bucket
from mementum.torch.backends.pieces import Part, Piece, Table, pieces
from mementum.torch.state import rounding
from mementum.torch.state.moments import MOMENTS


def widened(bucket: Bucket) -> Iterator[Bucket]:
    """Yield each parameter with its moments in the dtype the step is computed in.

    When the next one is asked for, what the step has made of them is rounded and
    stored.
    """
    form, moments = bucket.format, MOMENTS if bucket.peak else MOMENTS[:2]
    for i, param in enumerate(bucket.params):
        wide = Bucket(bucket.step, grads=[bucket.grads[i]])
        wide.params = [param.to(bucket.dtype) if bucket.rounds_params else param]
        for name in moments:
            setattr(wide, name, [form.decode(name, bucket.stored(i, name))])
        yield wide
        if form.noisy:
            words = bucket.words(i, "state")
            for name in moments:
                encoded = form.encode(name, getattr(wide, name)[0], words)
                for tensor, new in zip(bucket.stored(i, name), encoded, strict=True):
                    tensor.copy_(new)
        if bucket.rounds_params:
            words = bucket.words(i, "parameter")
            computed = wide.params[0].to(torch.float32)
            param.copy_(rounding.parameter(computed, words, param.dtype))


def joined(bucket: Bucket) -> Iterator[tuple[Bucket, Tensor]]:
    """Yield pieces of a bucket as `widened` does parameters, each as one table.

    With it go the places of the blocks' parameters in the bucket.
    """
    form, moments = bucket.format, MOMENTS if bucket.peak else MOMENTS[:2]
    state = _keys(bucket, "state") if form.noisy else None
    own = _keys(bucket, "parameter") if bucket.rounds_params else None
    for piece in pieces(bucket):
        table = piece.table()
        wide = Bucket(bucket.step)
        for name, row in zip(("params", "grads"), bucket.rows(), strict=False):
            setattr(wide, name, [table.of(_flat(_elements(row, piece.parts)))])
        if own is not None:
            wide.params = [wide.params[0].to(bucket.dtype)]
        for name in moments:
            codes, *scales = (_flat(row) for row in _stored(bucket, piece, name))
            stored = (table.of(codes), *(scale.unsqueeze(1) for scale in scales))
            setattr(wide, name, [form.decode(name, stored)])
        yield wide, table.param
        words = None if state is None else _words(state, piece, table)
        for name in moments:
            codes, *scales = form.encode(name, getattr(wide, name)[0], words)
            new = (table.flat(codes), *(scale.view(-1) for scale in scales))
            for row, flat in zip(_stored(bucket, piece, name), new, strict=True):
                _put(flat, row)
        param = wide.params[0]
        if own is not None:
            words = _words(own, piece, table)
            param = param.to(torch.float32)
            param = rounding.parameter(param, words, bucket.params[0].dtype)
        _put(table.flat(param), _elements(bucket.params, piece.parts))


def _keys(bucket: Bucket, purpose: Literal["state", "parameter"]) -> Tensor:
    """Return the keys of a bucket's parameters where these are, in int64."""
    if isinstance(bucket.step, Tensor):
        return bucket.keys_on_device(purpose)
    keys = torch.from_numpy(bucket.keys(purpose).view(np.int64))
    return keys.to(bucket.params[0].device)


def _words(keys: Tensor, piece: Piece, table: Table) -> Tensor:
    """Return the noise of a table, given the keys of the bucket's parameters."""
    return rounding.words_of_blocks(
        keys.index_select(0, table.param),
        table.number,
        table.columns,
        crosses=piece.crosses,
    )


def _stored(bucket: Bucket, piece: Piece, name: str) -> list[list[Tensor]]:
    """Return the tensors of a moment, of each the parts of a piece."""
    rows = [_elements(getattr(bucket, name), piece.parts)]
    if bucket.scales:
        kept = bucket.scales[name]
        rows.append(
            [
                kept[part.param].view(-1)[part.scale : part.scale + part.blocks]
                for part in piece.parts
            ]
        )
    return rows


def _elements(tensors: list[Tensor], parts: list[Part]) -> list[Tensor]:
    """Return the parts of tensors, as they lie in memory."""
    return [_part(tensors[part.param], part.start, part.stop) for part in parts]


def _part(tensor: Tensor, start: int, stop: int) -> Tensor:
    if stop - start == tensor.numel():
        return tensor
    if tensor.is_contiguous():
        return tensor.view(-1)[start:stop]
    length = tensor.numel() // tensor.shape[0]
    return tensor[start // length : stop // length]


def _flat(parts: list[Tensor]) -> Tensor:
    flat = [part.reshape(-1) for part in parts]
    return flat[0] if len(flat) == 1 else torch.cat(flat)


def _put(flat: Tensor, parts: list[Tensor]) -> None:
    """Store elements in parts of tensors, where they are not computed in place."""
    if len(parts) == 1 and flat.data_ptr() == parts[0].data_ptr():
        return
    each = torch.split(flat, [part.numel() for part in parts])
    new = [one.view(part.shape) for one, part in zip(each, parts, strict=True)]
    torch._foreach_copy_(parts, new)
