"""Context, what one pass through one layer keeps.

A layer never stores activations on itself: whatever the backward pass will need goes into the
context of this very call, so a layer may be called twice before either backward pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.calls import not_registered, running, wrong_grads, wrong_inputs
from npnet.configured import Habit
from npnet.convert import as_output
from npnet.errors import NpnetError, TapeError
from npnet.parameter import Parameter
from npnet.random import LazyGenerator, default_generator
from npnet.typing import Array


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
    rng : numpy.random.Generator, LazyGenerator or None
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
        rng: np.random.Generator | LazyGenerator | None = None,
    ) -> None:
        self.layer = layer
        self.recording = recording
        self.training = training
        self.needs_input_grad = True
        self.saved: tuple[Any, ...] = ()
        self.calls: list[Context] = []
        self._rng = rng

    fuses = True
    """Whether chains may run neighbours as one: not in a context that watches each layer."""

    save_for_backward = Habit("save_for_backward", "it is ctx.save(a, b)")
    saved_tensors = Habit("saved_tensors", "it is ctx.saved")
    mark_dirty = Habit("mark_dirty", "layers write into no array that they did not make")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let no chain hide layers from a context that watches them."""
        super().__init_subclass__(**kwargs)
        if not {"child", "run", "backward"}.isdisjoint(vars(cls)):
            cls.fuses = False

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Tell type checkers that layers set facts of their own."""

        def __setattr__(self, name: str, value: Any) -> None: ...

    @property
    def rng(self) -> np.random.Generator:
        """The generator of this pass."""
        rng = default_generator() if self._rng is None else self._rng
        return rng() if isinstance(rng, LazyGenerator) else rng

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
            raise not_registered(self.layer, layer)
        return self._run_child(layer, *inputs)

    def _run_child(self, layer: Any, *inputs: Any) -> Any:
        """Do what `call` does for a layer that is known to be registered."""
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
        except (TypeError, AttributeError) as error:
            raise wrong_inputs(self.layer, self, inputs) or error from None
        return output if type(output) is np.ndarray else as_output(output, self.layer)

    def run_as_root(self, *inputs: Any) -> Any:
        """Do what `run` does in a recorded pass, for the layer that the user called.

        While it runs, a layer of the model that is called directly raises: it would not train.
        """
        outer, running.layer = running.layer, self.layer
        try:
            return quietly(self.run, *inputs)
        except NpnetError as error:
            error.locate(self.layer)
            raise
        finally:
            running.layer = outer

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
        except TypeError as error:
            raise wrong_grads(self.layer, self, grads) or error from None
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

    add_rows = staticmethod(Parameter.add_rows)
    """``ctx.add_rows(parameter, index, values)`` adds to some rows of a parameter's gradient."""

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


@np.errstate(all="ignore")
def quietly(run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function without NumPy's floating-point warnings."""
    return run(*args, **kwargs)


def _holds(kept: Any, owner: Any) -> bool:
    """Tell whether `owner`, or a view of it, is among values, or in lists among them."""
    for value in kept:
        kind = type(value)
        if kind in _PLAIN:
            continue
        if kind is _ARRAY or isinstance(value, _ARRAY):
            if value is owner or value.base is owner:
                return True
        elif isinstance(value, _NESTS) and _holds(
            value.values() if isinstance(value, dict) else value, owner
        ):
            return True
    return False


_PLAIN = frozenset({int, float, bool, str, type(None)})
_ARRAY = np.ndarray
_NESTS = (tuple, list, dict, set, deque)
