"""Layer, the base of everything that has a forward and a backward pass.

The mathematics is in the subclasses; registration by assignment is in `registry`, state
dictionaries are in `state`, the conversion of inputs is in `convert`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from npnet.arguments import checked_call, flag
from npnet.calls import by_position, missing_input, refuse_direct_call, running
from npnet.context import Context, quietly
from npnet.convert import as_input
from npnet.errors import MissingMethod, NameTypoError, NpnetError, SignatureError
from npnet.parameter import Parameter
from npnet.random import LazyGenerator, as_generator
from npnet.registry import Registry
from npnet.state import LoadResult, convert_state, load_state, named_state
from npnet.tape import Tape
from npnet.typing import Array, ArrayLike, DtypeLike, Rng

if TYPE_CHECKING:
    from npnet.summary import Summary

_MODE = "the mode belongs to the call: model.record(x) trains, model(x) predicts"
_TRAINER = "npnet.Trainer(model, loss, optimizer) has it"
_DTYPE = "model.astype(np.float64) changes the dtype"
_CPU = "npnet computes on the CPU; model.astype(np.float64) changes the dtype"
_ASSIGN = "assign it to an attribute"


_SUMMARY = {
    "input_size": "it is input_shape, the shape of one sample: model.summary((784,))",
    "input_data": "it takes the shape of one sample: model.summary((784,))",
    "line_length": "print the summary; it is as wide as its cells",
}
_LOAD_STATE = {
    "assign": "values are copied into the parameters, in their dtype",
    "state_dict": "it is called state",
}


class Recorded(tuple[Any, Tape]):
    """What `Layer.record` returns: the output and its tape, to be unpacked."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Raise; called for names that a tuple does not have."""
            text = "record returns the output and a tape: y, tape = model.record(x)"
            raise NameTypoError(f"a recorded pass has no attribute {name!r}; {text}")


class Layer(Registry):
    """Base of all layers and containers.

    A subclass writes ``forward(self, ctx, *inputs)`` and ``backward(self, ctx, *grads)``. It
    assigns `Parameter`, `Buffer` and `Layer` objects to attributes in its constructor, keeps
    what its backward pass needs in `ctx`, and changes no array that it did not make itself. In a
    pass NumPy gives no floating-point warnings: infinities and NaN are values like others.

    Attributes
    ----------
    takes_integers : bool or tuple of bool
        Class attribute; True for inputs that are indices, lengths or masks: integers and booleans
        are then passed on as they are instead of converted to floating point. A tuple has an
        entry for each input.
    takes_sparse : bool
        Class attribute; True passes inputs on that are sparse matrices of SciPy's format CSR. They
        have no gradient.

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

    takes_integers: bool | tuple[bool, ...] = False
    takes_sparse: bool = False
    takes_arrays = True

    habits: ClassVar[Mapping[str, str]] = {
        "train": _MODE, "eval": _MODE, "training": _MODE,
        "to": _CPU, "cuda": _CPU, "cpu": _CPU,
        "device": _CPU, "inplace": "leave it out; no layer writes into its input",
        "double": _DTYPE, "float": _DTYPE, "half": _DTYPE, "type": _DTYPE,
        "fit": _TRAINER, "evaluate": _TRAINER, "compile": _TRAINER,
        "predict": "call the model, model(x), or Trainer.predict(x), which does it in batches",
        "add": "npnet.Sequential has append", "layers": "named_layers() yields all of them",
        "modules": "use named_layers()", "named_modules": "use named_layers()",
        "children": "use named_layers()", "named_children": "use named_layers()",
        "weights": "use parameters()", "trainable_weights": "use parameters()",
        "get_weights": "use state_dict()", "set_weights": "use load_state_dict(state)",
        "save": "npnet.save_weights(model, path)", "load": "npnet.load_weights(model, path)",
        "add_module": _ASSIGN, "register_module": _ASSIGN, "register_parameter": _ASSIGN,
        "register_buffer": "assign it: self.name = npnet.Buffer(array)",
        "count_params": "sum(p.size for p in model.parameters())",
    }  # fmt: skip

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a forward pass without the context."""
        super().__init_subclass__(**kwargs)
        firsts = {"forward": {"x", "input", "inputs", "X"},
                  "backward": {"grad", "g", "dy", "grad_output"}}  # fmt: skip
        for method in sorted(firsts.keys() & vars(cls).keys()):
            names = list(inspect.signature(getattr(cls, method)).parameters)[1:]
            if names and names[0] in firsts[method]:
                raise SignatureError(
                    f"{cls.__name__}.{method}(self, {', '.join(names)}) lacks the context; "
                    f"write {method}(self, ctx, {', '.join(names)})"
                )

    def forward(self, ctx: Context, *inputs: Any) -> Any:
        """Compute the output.

        Parameters
        ----------
        ctx : Context
            Where this call keeps what its backward pass needs.
        *inputs : ndarray or None
            None stands for one that is left out, such as a mask.

        Returns
        -------
        ndarray or tuple of ndarray
        """
        raise MissingMethod("it has no forward(self, ctx, x)", self)

    def backward(self, ctx: Context, *grads: Any) -> Any:
        """Add to the parameters' gradients; compute those of the inputs.

        Parameters
        ----------
        ctx : Context
            The context that `forward` was given.
        *grads : ndarray or None
            One gradient for each output; of several outputs, None for those that nobody used.

        Returns
        -------
        ndarray, tuple of ndarray, or None
            One gradient for each input; may be None for an input whose
            ``ctx.needs_grad(index)`` is False, and for all when ``ctx.needs_input_grad`` is.
        """
        raise MissingMethod("it has no backward(self, ctx, grad)", self)

    def matmul_shapes(self, *shapes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return the shapes of a forward pass's matrix products, for `summary` and `profile`.

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

    def __call__(self, *inputs: ArrayLike, **named: ArrayLike) -> Any:
        """Compute the output in evaluation mode and keep nothing.

        Parameters
        ----------
        *inputs : array_like or None
            Real arrays; converted to the parameters' dtype.
        **named : array_like or None
            Inputs by the names that `forward` has for them.

        Returns
        -------
        ndarray or tuple of ndarray
        """
        if running.layer is not None:
            refuse_direct_call(self)
        try:
            arrays = self._as_inputs(self._in_order(inputs, named) if named else inputs)
            return quietly(Context(self, False, False).run, *arrays)
        except NpnetError as error:
            error.locate(self)
            raise

    def record(
        self,
        *inputs: ArrayLike,
        training: bool = True,
        rng: Rng | LazyGenerator = None,
        **named: ArrayLike,
    ) -> Any:
        """Compute the output and remember the pass.

        Parameters
        ----------
        *inputs : array_like or None
            Real arrays; converted to the parameters' dtype. Do not change them before the tape
            has been run backward.
        training : bool
            False records a pass in evaluation mode, without dropout for example.
        rng : numpy.random.Generator or int, optional
            Where this pass's random numbers come from.
        **named : array_like or None
            Inputs by the names that `forward` has for them.

        Returns
        -------
        output : ndarray or tuple of ndarray
        tape : Tape
        """
        outer = running.layer
        if outer is not None:
            refuse_direct_call(self)
        try:
            arrays = self._as_inputs(self._in_order(inputs, named) if named else inputs)
            if rng is not None and not isinstance(rng, LazyGenerator):
                rng = as_generator(rng)
            if training is not True:
                training = flag(self, "training", training)
            ctx = Context(self, True, training, rng)
            running.layer = self
            try:
                output = quietly(ctx.run, *arrays)
            finally:
                running.layer = outer
        except NpnetError as error:
            error.locate(self)
            raise
        # Whoever receives the output may write into it; what backward needs must not change.
        if type(output) is np.ndarray:
            tape = Tape(ctx, arrays, (output,))
            return Recorded((output.copy() if ctx.retains(output) else output, tape))
        tape = Tape(ctx, arrays, output)
        own: list[Array] = []
        for y in output:
            shared = ctx.retains(y) or any(y is other for other in own)
            own.append(y.copy() if shared else y)
        return Recorded((tuple(own), tape))

    def _in_order(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        return by_position(partial(self.forward, None), self, inputs, named)  # type: ignore[arg-type]

    def _as_inputs(self, inputs: tuple[ArrayLike | None, ...]) -> Sequence[Array | None]:
        dtype = self.dtype
        for x in inputs:
            if type(x) is not np.ndarray or x.dtype != dtype:
                break
        else:
            return inputs  # type: ignore[return-value]
        missing = missing_input(self, inputs)
        if missing is not None:
            raise missing
        return [
            None if x is None else as_input(x, dtype, self, whole, self.takes_sparse)
            for x, whole in zip(inputs, self._integers(len(inputs)), strict=True)
        ]

    def _integers(self, count: int) -> tuple[bool, ...]:
        """Return for each of so many inputs whether it stays integer or boolean."""
        takes = self.takes_integers
        known = takes if isinstance(takes, tuple) else (takes,) * count
        return (*known, *(False,) * count)[:count]

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

    @checked_call("load_state_dict", _LOAD_STATE)
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

    @checked_call("summary", _SUMMARY)
    def summary(self, input_shape: Any, batch_size: int = 1) -> Summary:
        """Describe every layer's output shape and number of parameters.

        Parameters
        ----------
        input_shape : tuple of int, or list of them
            Shape of one sample, without the batch axis; a list has one for each input.
        batch_size : int
            Size of the batch axis put before it.

        Returns
        -------
        Summary
            Prints as a table.
        """
        from npnet.summary import summarize

        return summarize(self, input_shape, batch_size)
