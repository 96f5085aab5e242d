"""Layer, the base of everything that has a forward and a backward pass.

The mathematics is in the subclasses; registration by assignment is in `members`, state
dictionaries are in `state`, the conversion of inputs is in `convert`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from npnet.context import Context, Tape
from npnet.convert import as_input, as_output
from npnet.errors import ArgumentError, NpnetError
from npnet.members import Members
from npnet.parameter import Parameter
from npnet.random import as_generator
from npnet.state import LoadResult, convert_state, load_state, named_state
from npnet.summary import Summary, summarize
from npnet.typing import Array, ArrayLike, DtypeLike, Rng


class Layer(Members):
    """Base of all layers and containers.

    A subclass writes ``forward(self, ctx, *inputs)`` and ``backward(self, ctx, *grads)``. It
    assigns `Parameter`, `Buffer` and `Layer` objects to attributes in its constructor, keeps
    what its backward pass needs in `ctx`, and changes no array that it did not make itself.

    Attributes
    ----------
    takes_integers : bool
        Class attribute; True for a layer whose inputs are indices, which are then passed on as
        they are instead of converted to floating point.

    Examples
    --------
    >>> import npnet
    >>> class Scale(npnet.Layer):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = npnet.Parameter(2.0)
    ...     def forward(self, ctx, x):
    ...         ctx.save(x)
    ...         return x * self.factor.data
    ...     def backward(self, ctx, grad):
    ...         (x,) = ctx.saved
    ...         ctx.add_grad(self.factor, np.sum(grad * x))
    ...         return grad * self.factor.data
    >>> y, tape = Scale().record([1.0, 2.0])
    >>> tape.backward([1.0, 1.0], input_grad=True)
    array([2., 2.], dtype=float32)
    """

    takes_integers: bool = False

    def forward(self, ctx: Context, *inputs: Any) -> Any:
        """Compute the output.

        Parameters
        ----------
        ctx : Context
            Where this call keeps what its backward pass needs.
        *inputs : ndarray

        Returns
        -------
        ndarray or tuple of ndarray
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, ctx, x)")

    def backward(self, ctx: Context, *grads: Any) -> Any:
        """Add to the parameters' gradients; compute those of the inputs.

        Parameters
        ----------
        ctx : Context
            The context that `forward` was given.
        *grads : ndarray
            One gradient for each output.

        Returns
        -------
        ndarray, tuple of ndarray, or None
            One gradient for each input; may be None when ``ctx.needs_input_grad`` is False.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward(self, ctx, grad)")

    def products(self, *shapes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Tell the matrix products of a forward pass, for `summary` and `profile`.

        Parameters
        ----------
        *shapes : tuple of int
            Of the inputs.

        Returns
        -------
        list of (int, int, int)
            (m, k, n) for a product of an m-by-k with a k-by-n matrix.
        """
        return []

    def __call__(self, *inputs: ArrayLike) -> Any:
        """Compute the output in evaluation mode and keep nothing.

        Parameters
        ----------
        *inputs : array_like
            Real arrays; converted to the parameters' dtype.

        Returns
        -------
        ndarray or tuple of ndarray
        """
        try:
            ctx = Context(self, False, False)  # neither recording nor training
            output = self.forward(ctx, *self._as_inputs(inputs))
            return output if type(output) is np.ndarray else as_output(output, self)
        except NpnetError as error:
            error.locate(self)
            raise

    def record(self, *inputs: ArrayLike, training: bool = True, rng: Rng = None) -> Any:
        """Compute the output and remember the pass.

        Parameters
        ----------
        *inputs : array_like
            Real arrays; converted to the parameters' dtype. Do not change them before the tape
            has been run backward.
        training : bool
            False records a pass in evaluation mode, without dropout for example.
        rng : numpy.random.Generator or int, optional
            Where this pass's random numbers come from.

        Returns
        -------
        output : ndarray or tuple of ndarray
        tape : Tape
        """
        try:
            arrays = self._as_inputs(inputs)
            generator = None if rng is None else as_generator(rng)
            ctx = Context(self, True, training, generator)
            output = self.forward(ctx, *arrays)
            if type(output) is not np.ndarray:
                output = as_output(output, self)
        except NpnetError as error:
            error.locate(self)
            raise
        # Whoever receives the output may write into it; what backward needs must not change.
        if type(output) is np.ndarray:
            return output.copy() if ctx.retains(output) else output, Tape(ctx, arrays, (output,))
        tape = Tape(ctx, arrays, output)
        return tuple(y.copy() if ctx.retains(y) else y for y in output), tape

    def _as_inputs(self, inputs: tuple[ArrayLike, ...]) -> Sequence[Array]:
        dtype = self.dtype
        for x in inputs:
            if type(x) is not np.ndarray or x.dtype != dtype:
                return [as_input(x, dtype, self) for x in inputs]
        return inputs  # type: ignore[return-value]

    def astype(self, dtype: DtypeLike) -> Self:
        """Convert parameters and floating buffers in place.

        Parameters
        ----------
        dtype : dtype
            float32 or float64.

        Returns
        -------
        Layer
            The layer itself.
        """
        convert_state(self, dtype)
        return self

    def state_dict(self) -> dict[str, Array]:
        """Copy every parameter and buffer into a dictionary with PyTorch's keys.

        Returns
        -------
        dict of str to ndarray
            ``"0.weight"`` is the weight of the first layer of a `Sequential`.
        """
        return {
            name: np.array(value.data if isinstance(value, Parameter) else value)
            for name, value in named_state(self).items()
        }

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> LoadResult:
        """Copy the values of a state dictionary into the parameters and buffers.

        Nothing is changed if anything does not fit.

        Parameters
        ----------
        state : mapping of str to array_like
            As `state_dict` returns it; converted to each parameter's dtype.
        strict : bool
            False passes over missing and unexpected names.

        Returns
        -------
        LoadResult
            The names passed over: ``missing`` and ``unexpected``.

        Raises
        ------
        StateError
            One error that lists the missing, unexpected, wrongly shaped and non-real names.
        """
        return load_state(self, state, strict)

    def summary(self, input_shape: tuple[int, ...], batch_size: int = 1) -> Summary:
        """Describe every layer's output shape and number of parameters.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, without the batch axis.
        batch_size : int
            Size of the batch axis put before it.

        Returns
        -------
        Summary
            Prints as a table.
        """
        if not isinstance(input_shape, tuple | list):
            raise ArgumentError(
                f"summary expects the shape of one sample, such as (784,), got {input_shape!r}"
            )
        if not isinstance(batch_size, int | np.integer) or batch_size < 0:
            raise ArgumentError(f"summary expects a batch size of at least 0, got {batch_size!r}")
        return summarize(self, (batch_size, *input_shape))
