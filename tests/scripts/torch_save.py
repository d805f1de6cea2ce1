#!/usr/bin/env python3
"""What torch.save() writes, without PyTorch: things of the same names, pickled by Python's own pickler.

    torch_save.py DIRECTORY    writes DIRECTORY/protocol-N.bin and DIRECTORY/NAME.bin for every way to say the same tensors

All of them hold `a`, the numbers 0 to 5 as a matrix (2, 3), and `b`, the last four of these, sharing their storage.
"""
import collections
import io
import pathlib
import pickle
import struct
import sys
import types
import zipfile


def named(module, name, thing):
    """The thing under this name, in a module of this name that exists for the pickler alone."""
    parent = None
    for end in range(1, module.count(".") + 2):
        path = ".".join(module.split(".")[:end])
        made = sys.modules.setdefault(path, types.ModuleType(path))
        if parent:
            setattr(parent, path.rsplit(".", 1)[1], made)
        parent = made
    thing.__module__, thing.__qualname__, thing.__name__ = module, name, name
    setattr(sys.modules[module], name, thing)
    return thing


def function(module, name):
    return named(module, name, lambda *arguments: None)


def kind(module, name):
    return named(module, name, type(name, (), {}))


REBUILD = function("torch._utils", "_rebuild_tensor_v2")
REBUILD_TYPED = function("torch._utils", "_rebuild_tensor_v3")
PARAMETER = function("torch._utils", "_rebuild_parameter")
PARAMETER_WITH_STATE = function("torch._utils", "_rebuild_parameter_with_state")
FROM_TYPE = function("torch._tensor", "_rebuild_from_type_v2")
TENSOR, FLOAT32 = kind("torch", "Tensor"), kind("torch", "float32")
STORAGES = {name: kind("torch", name) for name in ("FloatStorage", "LongStorage", "ByteStorage")}
UNTYPED = kind("torch.storage", "UntypedStorage")


class Storage:
    def __init__(self, key, count, of=STORAGES["FloatStorage"]):
        self.id = ("storage", of, key, "cpu", count)


class Call:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        return thing.id if isinstance(thing, Storage) else None


def pickled(value, protocol=2):
    out = io.BytesIO()
    Pickler(out, protocol).dump(value)
    return out.getvalue()


def tensor(storage, offset, shape, strides, *more):
    return Call(REBUILD, storage, offset, shape, strides, False, collections.OrderedDict(), *more)


def tensors(wrap=lambda tensor: tensor, *more):
    storage = Storage("0", 6)
    result = collections.OrderedDict(a=wrap(tensor(storage, 0, (2, 3), (3, 1), *more)),
                                     b=wrap(tensor(storage, 2, (4,), (1,), *more)))
    result._metadata = collections.OrderedDict({"": {"version": 1}})
    return result


def typed_tensors():
    storage = Storage("0", 24, UNTYPED)
    typed = lambda *view: Call(REBUILD_TYPED, storage, *view, False, collections.OrderedDict(), FLOAT32)
    return {"a": typed(0, (2, 3), (3, 1)), "b": typed(2, (4,), (1,))}


def with_state(tensor):
    return Call(PARAMETER_WITH_STATE, tensor, True, collections.OrderedDict(), {"_no_weight_decay": True})


def from_type(tensor):
    function, arguments = tensor.call
    return Call(FROM_TYPE, function, TENSOR, arguments, {"_no_reinit": True})


def training_run(key, **more):
    """What a program for training saves: the tensors, and much beside them."""
    step = tensor(Storage("1", 3, STORAGES["LongStorage"]), 0, (3,), (1,))
    return {key: tensors(), "epoch": 3, "loss": 0.25, "best": None, "notes": ["x", 2.5, (1, 2), -70000, 1 << 40],
            "optimizer": {"state": {0: {"step": step, "exp_avg": tensors()["a"]}},
                          "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.95), "params": list(range(300))}]},
            "random": tensor(Storage("1", 24, STORAGES["ByteStorage"]), 0, (24,), (1,)), **more}


def ways():
    """All ways to say the same, by name."""
    result = {f"protocol-{protocol}": pickled(tensors(), protocol) for protocol in (2, 3, 4, 5)}
    result["metadata-empty"] = pickled(tensors(lambda tensor: tensor, {}))
    result["metadata-off"] = pickled(tensors(lambda tensor: tensor, {"neg": False}))
    result["parameters"] = pickled(tensors(lambda tensor: Call(PARAMETER, tensor, True, collections.OrderedDict())))
    result["parameters-with-attributes"] = pickled(tensors(with_state), 4)
    result["tensors-with-attributes"] = pickled(tensors(from_type))
    result["untyped-storage"] = pickled(typed_tensors())
    for key in ("state_dict", "model_state_dict", "model_state", "model", "module"):
        result[f"under-{key}"] = pickled(training_run(key), 2 if key == "model" else 4)
    return result


def archive(data):
    """The pickle beside its storages, as torch.save() packs them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("archive/data.pkl", data)
        packed.writestr("archive/byteorder", "little")
        packed.writestr("archive/data/0", struct.pack("<6f", *range(6)))
        packed.writestr("archive/data/1", bytes(24))
    return out.getvalue()


if __name__ == "__main__":
    for name, data in ways().items():
        (pathlib.Path(sys.argv[1]) / f"{name}.bin").write_bytes(archive(data))
