"""Reads a file as torch.load() would, with Python's own zipfile and pickle, and prints what it holds.

torch itself is not needed: three of its names are given meanings of their own here.
"""
import array
import collections
import pickle
import sys
import zipfile

Storage = collections.namedtuple("Storage", "kind key size values")
CODES = {"FloatStorage": "f", "DoubleStorage": "d"}


def rebuild_tensor(storage, offset, shape, strides, requires_grad, hooks):
    assert requires_grad is False and isinstance(hooks, collections.OrderedDict)
    return storage, offset, shape, strides


class Unpickler(pickle.Unpickler):
    def __init__(self, archive, folder):
        super().__init__(archive.open(folder + "data.pkl"))
        self.archive, self.folder = archive, folder

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild_tensor
        if module == "torch" and name in CODES:
            return name
        raise pickle.UnpicklingError(f"asks for {module}.{name}")

    def persistent_load(self, pid):
        storage, kind, key, device, size = pid
        assert storage == "storage" and device == "cpu"
        values = array.array(CODES[kind], self.archive.read(f"{self.folder}data/{key}"))
        assert len(values) == size
        return Storage(kind, key, size, values)


with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None  # every check sum
    names = archive.namelist()
    folder = names[0].split("/")[0] + "/"
    assert all(name.startswith(folder) for name in names)
    assert archive.read(folder + "byteorder") == b"little"
    assert archive.read(folder + "version") == b"3\n"
    for entry in archive.infolist():
        with open(sys.argv[1], "rb") as raw:  # torch wants the numbers at multiples of 64
            raw.seek(entry.header_offset + 26)
            name, extra = (int.from_bytes(raw.read(2), "little") for _ in range(2))
            assert (entry.header_offset + 30 + name + extra) % 64 == 0, entry.filename
    tensors = Unpickler(archive, folder).load()
    assert type(tensors) is collections.OrderedDict
    for name, (storage, offset, shape, strides) in tensors.items():
        kind = storage.kind.removesuffix("Storage").lower()
        print(f"{name} storage {storage.key} of {storage.size} {kind}, offset {offset}, shape {shape}, "
              f"strides {strides}, sum {sum(storage.values)}")
