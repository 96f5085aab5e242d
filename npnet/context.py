"""Context, what one pass through one layer keeps, and Tape, a whole recorded pass.

A layer never stores activations on itself: whatever the backward pass will need goes into the
context of this very call, so a layer may be called twice before either backward pass.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.arguments import flag
from npnet.convert import as_gradient, as_output
from npnet.errors import ArgumentError, NpnetError, SignatureError, TapeError
from npnet.parameter import Parameter
from npnet.random import default_generator
from npnet.registry import Registry, holds_hidden
from npnet.typing import Array, ArrayLike


class _Running(threading.local):
    """The layer whose recorded forward pass is running in a thread, if there is one."""

    layer: Any = None


_running = _Running()


class Context:
    """What one call of one layer keeps between its forward and its backward pass.

    A layer may also set plain facts (a shape, an axis) as attributes of its own. To watch passes,
    for a profile or a picture, override `child`, so that the children's contexts watch too, and
    `run` and `backward`, which run the layer's own passes.

    Parameters
    ----------
    layer : Layer
        The layer that is called.
    recording : bool
        Whether a backward pass will follow; if not, `save` keeps nothing.
    training : bool
        Whether the layer trains: dropout drops, running statistics move.
    rng : numpy.random.Generator or None
        Where the layer's random numbers come from; None is npnet's default generator.

    Attributes
    ----------
    saved : tuple of ndarray
        What `save` was given.
    calls : list of Context
        The recorded calls of children, in order. A container's backward pass takes them from
        the end, which frees each one's arrays as soon as they are used.
    needs_input_grad : bool
        Whether anybody wants the gradient with respect to any input. A layer that computes it
        nevertheless stays correct. `needs_grad` tells of each input.
    """

    __slots__ = ("__dict__", "_needs", "_rng", "calls", "layer", "needs_input_grad",
                 "recording", "saved", "training")  # fmt: skip

    def __init__(
        self,
        layer: Any,
        recording: bool,
        training: bool,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.layer = layer
        self.recording = recording
        self.training = training
        self.needs_input_grad = True
        self.saved: tuple[Any, ...] = ()
        self.calls: list[Context] = []
        self._rng = rng

    fuses = True
    """Whether chains may run neighbours as one; a context that watches each layer says no."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Tell type checkers that layers set facts of their own."""

        def __setattr__(self, name: str, value: Any) -> None: ...

    @property
    def rng(self) -> np.random.Generator:
        """The generator of this pass."""
        return default_generator() if self._rng is None else self._rng

    def save(self, *arrays: Any) -> None:
        """Keep arrays for the backward pass; without one, keep nothing.

        Parameters
        ----------
        *arrays : ndarray
            They come back, in this order, as `saved`.

        Raises
        ------
        TapeError
            If the layer has saved something in this call already.
        """
        if self.recording:
            if self.saved:
                raise TapeError(
                    "ctx.save was called twice in one call, and the first arrays would be lost; "
                    "save all at once: ctx.save(a, b)",
                    self.layer,
                )
            self.saved = arrays

    # --- forward

    def call(self, layer: Any, *inputs: Any) -> Any:
        """Run a child layer as part of this pass.

        Parameters
        ----------
        layer : Layer
            The child: an attribute of the layer, or registered below one.
        *inputs : ndarray or None
            Its inputs.

        Returns
        -------
        ndarray or tuple of ndarray
            Its output. In a recorded pass the call is appended to `calls`.

        Raises
        ------
        ArgumentError
            If the child is not registered: nobody would train or save it.
        """
        if not self.layer.contains(layer):
            raise _not_registered(self.layer, layer)
        return self.run_child(layer, *inputs)

    def run_child(self, layer: Any, *inputs: Any) -> Any:
        """Do what `call` does, for layers that a container made itself."""
        child = self.child(layer)
        output = child.run(*inputs)
        if self.recording:
            self.calls.append(child)
        return output

    def child(self, layer: Any) -> Context:
        """Return the context in which a child is run.

        Parameters
        ----------
        layer : Layer

        Returns
        -------
        Context
        """
        return Context(layer, self.recording, self.training, self._rng)

    def run(self, *inputs: Any) -> Any:
        """Run the forward pass of this context's layer.

        Parameters
        ----------
        *inputs : ndarray or None

        Returns
        -------
        ndarray or tuple of ndarray
        """
        try:
            output = self.layer.forward(self, *inputs)
        except TypeError as error:
            raise _wrong_signature(self.layer, self, inputs) or error from None
        return output if type(output) is np.ndarray else as_output(output, self.layer)

    def run_as_root(self, *inputs: Any) -> Any:
        """Do what `run` does in a recorded pass, for the layer that the user called.

        While it runs, a layer of the model that is called directly raises: it would not train.
        """
        outer = _running.layer
        _running.layer = self.layer
        try:
            return self.run(*inputs)
        finally:
            _running.layer = outer

    # --- backward

    def backward(self, *grads: Any, needs_input_grad: bool | Sequence[bool] = True) -> Any:
        """Run the backward pass of the call that this context belongs to.

        Parameters
        ----------
        *grads : ndarray or None
            One gradient for each output; None for one that nobody used, if there are several.
        needs_input_grad : bool or sequence of bool
            Whether the gradient with respect to the inputs is wanted; for all or for each.

        Returns
        -------
        ndarray, tuple of ndarray, or None
            One gradient for each input.
        """
        if needs_input_grad is True or needs_input_grad is False:
            self.needs_input_grad = needs_input_grad
        else:
            self._needs = tuple(needs_input_grad)
            self.needs_input_grad = any(self._needs)
        try:
            return self.layer.backward(self, *grads)
        except NpnetError as error:
            error.layer = error.layer or self.layer
            raise

    def needs_grad(self, index: int) -> bool:
        """Tell, in the backward pass, whether anybody wants the gradient of one input.

        Parameters
        ----------
        index : int
            Which input, from 0.

        Returns
        -------
        bool
        """
        needs: tuple[bool, ...] = getattr(self, "_needs", ())
        return needs[index] if index < len(needs) else self.needs_input_grad and not needs

    add_grad = staticmethod(Parameter.add_grad)
    """``ctx.add_grad(parameter, value)`` adds to a parameter's gradient."""

    add_product = staticmethod(Parameter.add_product)
    """``ctx.add_product(parameter, a, b)`` adds ``a @ b``, without an array in between."""

    def retains(self, array: Array) -> bool:
        """Tell whether this call or one below it keeps `array` or a view of the same memory.

        Parameters
        ----------
        array : ndarray

        Returns
        -------
        bool
        """
        owner = array if array.base is None else array.base
        if self.saved and _holds(self.saved, owner):
            return True
        if self.__dict__ and _holds(self.__dict__.values(), owner):
            return True
        for call in self.calls:  # noqa: SIM110 - any() takes longer
            if call.retains(array):
                return True
        return False


def _holds(kept: Any, owner: Any) -> bool:
    """Tell whether `owner`, or a view of it, is among values, or in lists among them."""
    for value in kept:
        kind = type(value)
        if kind is _ARRAY:
            if value is owner or value.base is owner:
                return True
        elif kind in _NESTS and _holds(value.values() if kind is dict else value, owner):
            return True
    return False


_ARRAY = np.ndarray
_NESTS = frozenset({tuple, list, dict})


def refuse_direct_call(layer: Any) -> None:
    """Raise if a layer is called by itself inside the recorded pass of a model that holds it.

    Parameters
    ----------
    layer : Layer
        The one that is called.

    Raises
    ------
    ArgumentError
        It would run as inference, and nothing in it would train.
    """
    root = _running.layer
    if root is None:
        return
    if root.contains(layer):
        names = (name for name, one in root.named_layers() if one is layer)
        child = f"self.{next(names, '')}"
    elif any(holds_hidden(v) for _, one in root.named_layers() for _, v in one.unregistered()):
        child = "the layer"
    else:
        return
    raise ArgumentError(
        f"{type(layer).__name__} was called directly inside forward, where it would not train; "
        f"write ctx.call({child}, x)",
        root,
    )


def _not_registered(parent: Any, layer: Any) -> ArgumentError:
    if not isinstance(layer, Registry):
        return ArgumentError(f"ctx.call expects a layer first, got {type(layer).__name__}", parent)
    return ArgumentError(
        f"ctx.call of a {type(layer).__name__} that is not registered: nobody would train or save "
        "it; make it an attribute in __init__, or keep several in a npnet.LayerList",
        parent,
    )


def _wrong_signature(layer: Any, ctx: Context, inputs: tuple[Any, ...]) -> SignatureError | None:
    """Return the error for a number of inputs that `forward` does not take, or None."""
    signature = inspect.signature(layer.forward)
    try:
        signature.bind(ctx, *inputs)
    except TypeError:
        names = list(signature.parameters)
        if names[:1] != ["ctx"] and len(names) == len(inputs):
            given = ", ".join(["self", *names])
            right = ", ".join(["self", "ctx", *names])
            return SignatureError(
                f"forward({given}) lacks the context; write forward({right})", layer
            )
        takes = ", ".join(names[1:])
        return SignatureError(f"expected the inputs ({takes}), got {len(inputs)} of them", layer)
    return None


class Tape:
    """A recorded pass, to be run backward once.

    Made by `Layer.record`.

    Parameters
    ----------
    ctx : Context
        The context of the layer that the user called.
    inputs, outputs : sequence of ndarray
        What went in and what came out.

    Examples
    --------
    >>> import npnet
    >>> layer = npnet.Linear(3, 2)
    >>> y, tape = layer.record(np.ones((4, 3)))
    >>> tape.backward(np.ones((4, 2)), input_grad=True).shape
    (4, 3)
    >>> layer.weight.grad.shape
    (2, 3)
    """

    __slots__ = ("_ctx", "_dtypes", "_outputs")

    def __init__(
        self, ctx: Context, inputs: Sequence[Array | None], outputs: Sequence[Array]
    ) -> None:
        self._ctx: Context | None = ctx
        self._dtypes: list[Any] = []
        for x in inputs:  # faster than a comprehension
            self._dtypes.append(None if x is None else x.dtype)
        self._outputs: list[Any] = []
        for y in outputs:
            self._outputs.append((y.shape, y.dtype))

    def backward(self, *grads: ArrayLike | None, input_grad: bool | Sequence[bool] = False) -> Any:
        """Fill the parameters' gradients; free what the pass kept.

        Parameters
        ----------
        *grads : array_like or None
            The gradient with respect to each output, of that output's shape. Where there are
            several outputs, None for those that nobody used.
        input_grad : bool or sequence of bool
            Whether to return the gradient with respect to the inputs as well, for all or for
            each. Without it the first layer skips a product.

        Returns
        -------
        None, ndarray or tuple
            With `input_grad`, the gradient with respect to the input: a tuple for several
            inputs, None for one that is None or of integers and for one that was not asked for.

        Raises
        ------
        TapeError
            If the tape was used before, or the number of gradients is wrong.
        ShapeError
            If a gradient has another shape than its output. The tape can then still be used.
        DtypeError
            If a gradient is not real.
        """
        ctx = self._ctx
        if ctx is None:
            raise TapeError(
                "this tape was already run backward; what it kept is gone. "
                "Record the pass again: y, tape = layer.record(x)"
            )
        upstream: Sequence[Any] = grads
        first, (shape, dtype) = grads[0] if grads else None, self._outputs[0]
        if (
            len(grads) != 1
            or len(self._outputs) != 1
            or type(first) is not np.ndarray
            or first.shape != shape
            or first.dtype != dtype
        ):
            upstream = self._upstream(ctx.layer, grads)
        wants = input_grad
        if wants is not False:
            wants = self._wants(ctx.layer, input_grad)
        self._ctx = None
        try:
            result = ctx.backward(*upstream, needs_input_grad=wants)
        except NpnetError as error:
            error.locate(ctx.layer)
            raise
        return None if wants is False else self._input_grads(ctx.layer, result, wants)

    def _upstream(self, layer: Any, grads: tuple[ArrayLike | None, ...]) -> list[Array | None]:
        """Check the gradients of the outputs."""
        if len(grads) != len(self._outputs):
            raise TapeError(
                f"expected {len(self._outputs)} gradient(s), one for each output, got {len(grads)}",
                layer,
            )
        upstream: list[Any] = []
        for grad, (shape, dtype) in zip(grads, self._outputs, strict=True):
            if type(grad) is not np.ndarray or grad.shape != shape or grad.dtype != dtype:
                grad = None if grad is None else as_gradient(grad, shape, dtype, layer)
            upstream.append(grad)
        if upstream[0] is None and all(grad is None for grad in upstream):
            raise TapeError("expected the gradient of an output, got None", layer)
        return upstream

    def _wants(self, layer: Any, input_grad: Any) -> tuple[bool, ...]:
        """Return which inputs get a gradient: of those asked for the floating ones."""
        count = len(self._dtypes)
        several = isinstance(input_grad, tuple | list)
        asked = list(input_grad) if several else [input_grad] * count
        if len(asked) != count:
            raise TapeError(f"input_grad has {len(asked)} entries for {count} inputs", layer)
        return tuple(
            flag("backward", "input_grad", ask) and dtype is not None and dtype.kind == "f"
            for ask, dtype in zip(asked, self._dtypes, strict=True)
        )

    def _input_grads(self, layer: Any, result: Any, wants: Sequence[bool]) -> Any:
        """Check what the layer returned."""
        results = list(result) if isinstance(result, tuple) else [result]
        while len(results) > len(wants) and results[-1] is None:  # of inputs that were left out
            results.pop()
        if len(results) != len(wants):
            raise TapeError(
                f"backward must return {len(wants)} gradient(s), one for each input, "
                f"it returned {len(results)}",
                layer,
            )
        triples = zip(results, self._dtypes, wants, strict=True)
        found = tuple(_in_dtype(g, d, layer) if want else None for g, d, want in triples)
        return found[0] if len(wants) == 1 else found


def _in_dtype(grad: Any, dtype: Any, layer: Any) -> Array:
    if not isinstance(grad, np.ndarray | np.floating):
        raise TapeError(f"backward must return arrays, it returned {type(grad).__name__}", layer)
    return np.asarray(grad, dtype)
