"""Layer, the base of everything that has a forward and a backward pass.

It registers parameters, buffers and sub-layers by assignment, converts inputs once at the root
of a call, and reads and writes state dictionaries. The mathematics is in the subclasses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from npnet.context import Context, Tape
from npnet.errors import (
    ArgumentError,
    DtypeError,
    NameTypoError,
    NpnetError,
    ShapeError,
    StateError,
)
from npnet.parameter import Parameter, floating_dtype
from npnet.random import as_generator
from npnet.summary import Summary, summarize
from npnet.typing import Array, ArrayLike, DtypeLike, Rng


class Buffer:
    """Mark an array as state of a layer that no optimizer touches, as running statistics are.

    ``self.running_mean = npnet.Buffer(np.zeros(3))`` registers the array; from then on
    ``self.running_mean`` is the array itself and may be assigned to.

    Parameters
    ----------
    data : array_like
        Copied.
    """

    def __init__(self, data: ArrayLike) -> None:
        self.data: Array = np.array(data)


class LoadResult(NamedTuple):
    """Names that `Layer.load_state_dict` passed over with ``strict=False``."""

    missing: list[str]
    unexpected: list[str]


class _Sealing(type):
    """Close an object's set of attributes when its constructor returns, so that typos raise."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = super().__call__(*args, **kwargs)
        object.__setattr__(layer, "_sealed", True)
        return layer


class Layer(metaclass=_Sealing):
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
    _parameters: dict[str, Parameter]
    _buffers: dict[str, Array]
    _layers: dict[str, Layer]
    _sealed: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the registries, so that a constructor can assign at once."""
        layer = super().__new__(cls)
        for name in ("_parameters", "_buffers", "_layers"):
            object.__setattr__(layer, name, {})
        object.__setattr__(layer, "_sealed", False)
        return layer

    # --- the two methods of a subclass

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

    # --- calling

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
            ctx = Context(self, recording=False, training=False)
            output = self.forward(ctx, *self._as_inputs(inputs))
            return output if type(output) is np.ndarray else self._as_outputs(output)
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
            ctx = Context(self, recording=True, training=training, rng=generator)
            output = self._as_outputs(self.forward(ctx, *arrays))
        except NpnetError as error:
            error.locate(self)
            raise
        several = isinstance(output, tuple)
        outputs = output if several else (output,)
        tape = Tape(ctx, arrays, outputs)
        # Whoever receives the output may write into it; what backward needs must not change.
        outputs = tuple(y.copy() if ctx.retains(y) else y for y in outputs)
        return outputs if several else outputs[0], tape

    def _as_inputs(self, inputs: tuple[ArrayLike, ...]) -> tuple[Array, ...]:
        dtype = self.dtype
        return tuple(
            x if type(x) is np.ndarray and x.dtype == dtype else self._convert(x, dtype)
            for x in inputs
        )

    def _convert(self, value: ArrayLike, dtype: np.dtype[Any] | None) -> Array:
        if isinstance(value, np.ma.MaskedArray):
            raise DtypeError("a masked array would lose its mask; fill it first", self)
        try:
            x = np.asarray(value)
        except ValueError as error:
            raise ShapeError(f"expected an array, got a ragged sequence: {error}", self) from None
        if x.dtype.kind not in "fiub":
            raise DtypeError(f"expected an array of real numbers, got dtype {x.dtype}", self)
        if x.dtype.kind != "f" and self.takes_integers:
            return x
        if dtype is None:
            dtype = floating_dtype(value)
        return x.astype(dtype, copy=False)

    def _as_outputs(self, output: Any) -> Any:
        if isinstance(output, tuple):
            return tuple(self._as_outputs(y) for y in output)
        if output is None:
            raise ShapeError("forward returned None; it must return an array", self)
        return np.asarray(output)

    # --- registration

    def __setattr__(self, name: str, value: Any) -> None:
        if self._sealed and not hasattr(self, name):
            from difflib import get_close_matches

            close = get_close_matches(name, vars(self), 1)
            raise NameTypoError(
                f"has no attribute {name!r}"
                + (f"; did you mean {close[0]!r}?" if close else "")
                + " New attributes are made in __init__ only.",
                self,
            )
        self._register(name, value)

    def _register(self, name: str, value: Any) -> None:
        _refuse_unregistered(f"{type(self).__name__}.{name}", value)
        if isinstance(value, np.ndarray) and name in self._parameters:
            raise ArgumentError(
                f"{type(self).__name__}.{name} is a Parameter; assign to {name}.data instead"
            )
        home: dict[str, Any] | None = None
        if isinstance(value, Parameter):
            home = self._parameters
        elif isinstance(value, Layer):
            home = self._layers
        elif isinstance(value, Buffer):
            home, value = self._buffers, value.data
        elif isinstance(value, np.ndarray | np.number) and name in self._buffers:
            home, value = self._buffers, np.asarray(value)
        for registry in (self._parameters, self._buffers, self._layers):
            if registry is not home:
                registry.pop(name, None)
        if home is not None:
            home[name] = value
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._buffers, self._layers):
            registry.pop(name, None)
        object.__delattr__(self, name)

    # --- what is inside

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The dtype of the first parameter, or None without parameters."""
        for p in self._parameters.values():
            return p.dtype
        for layer in self._layers.values():
            dtype = layer.dtype
            if dtype is not None:
                return dtype
        return None

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield the layer itself as ``""`` and every layer below it under its dotted name.

        Parameters
        ----------
        prefix : str
            Put before every name.

        Yields
        ------
        name : str
        layer : Layer
        """
        yield prefix, self
        for name, layer in self._layers.items():
            yield from layer.named_layers(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter once, under its first dotted name.

        Yields
        ------
        name : str
        parameter : Parameter
        """
        seen: set[Parameter] = set()
        for name, p in self._state(lambda layer: layer._parameters):
            if p not in seen:
                seen.add(p)
                yield name, p

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter once.

        Yields
        ------
        parameter : Parameter
        """
        return (p for _, p in self.named_parameters())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.zero_grad()

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
        if np.dtype(dtype).kind != "f":
            raise DtypeError(f"astype expects a floating dtype, got {np.dtype(dtype)}", self)
        for p in self.parameters():
            p.astype(dtype)
        for _, layer in self.named_layers():
            for name, buffer in list(layer._buffers.items()):
                if buffer.dtype.kind == "f":
                    setattr(layer, name, buffer.astype(dtype))
        return self

    # --- state

    def _state(self, registry: Any) -> Iterator[tuple[str, Any]]:
        for prefix, layer in self.named_layers():
            for name, value in registry(layer).items():
                yield f"{prefix}.{name}" if prefix else name, value

    def state_dict(self) -> dict[str, Array]:
        """Copy every parameter and buffer into a dictionary with PyTorch's keys.

        Returns
        -------
        dict of str to ndarray
            ``"0.weight"`` is the weight of the first layer of a `Sequential`.
        """
        both = self._state(lambda layer: {**layer._parameters, **layer._buffers})
        return {
            name: np.array(value.data if isinstance(value, Parameter) else value)
            for name, value in both
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
        own = dict(self._state(lambda layer: {**layer._parameters, **layer._buffers}))
        arrays = {name: np.asarray(value) for name, value in state.items()}
        missing = [name for name in own if name not in arrays]
        unexpected = [name for name in arrays if name not in own]
        both = [name for name in own if name in arrays]
        problems = [f"missing: {name}" for name in missing if strict]
        problems += [f"unexpected: {name}" for name in unexpected if strict]
        problems += [
            f"wrong shape: {name} is {own[name].shape}, got {arrays[name].shape}"
            for name in both
            if own[name].shape != arrays[name].shape
        ]
        problems += [
            f"not real numbers: {name} has dtype {arrays[name].dtype}"
            for name in both
            if arrays[name].dtype.kind not in "fiub"
        ]
        if problems:
            raise StateError(
                f"the state does not fit {type(self).__name__}:\n  " + "\n  ".join(problems)
            )
        for name in both:
            target = own[name].data if isinstance(own[name], Parameter) else own[name]
            target[...] = arrays[name]
        return LoadResult(missing, unexpected)

    # --- for people

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
        return summarize(self, (batch_size, *input_shape))

    def extra_repr(self) -> str:
        """Return the constructor arguments as `repr` shows them.

        Returns
        -------
        str
        """
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {layer!r}" for name, layer in self._layers.items()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def _refuse_unregistered(name: str, value: Any) -> None:
    """Refuse layers and parameters inside a list, where nobody would find them."""
    if not isinstance(value, list | tuple | dict):
        return
    items = value.values() if isinstance(value, dict) else value
    if any(isinstance(item, Layer | Parameter) for item in items):
        raise ArgumentError(
            f"{name}: layers and parameters in a {type(value).__name__} would not be found; "
            "use npnet.Sequential or an attribute for each"
        )
