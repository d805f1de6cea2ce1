#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets: files that are right, and files of whoever means harm.

    make_seeds.py DIRECTORY    writes DIRECTORY/TARGET/{valid,refused}/NAME

The names say what is wrong. Cases that the fuzzer has found lie beside them, as found-NAME; they cannot be made here.
"""
import json
import pathlib
import struct
import sys
import zlib

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "scripts"))
import torch_save  # noqa: E402

GOLDEN = TESTS / "golden"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 516567560\n" % ("4f" * 32)
PAGE = "\n<!DOCTYPE html>\n<html lang=\"en\"><head><title>Sign in</title></head></html>\n"
seeds = {}


def seed(target, kind, name, data):
    key = f"{target}/{kind}/{name}"
    assert key not in seeds, key
    seeds[key] = data.encode() if isinstance(data, str) else data


# ------------------------------------------------------------------------------------------------------ a very small model

REFERENCE = {"d_model": 2, "d_intermediate": 0, "n_layer": 1, "vocab_size": 3, "pad_vocab_size_multiple": 2,
             "ssm_cfg": {"layer": "Mamba2", "d_state": 1, "d_conv": 2, "headdim": 2, "chunk_size": 4},
             "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": True, "residual_in_fp32": True,
             "fused_add_norm": True, "tie_embeddings": True}
HUGGING_FACE = {"model_type": "mamba2", "hidden_size": 2, "num_hidden_layers": 1, "vocab_size": 4, "state_size": 1,
                "conv_kernel": 2, "expand": 2, "head_dim": 2, "num_heads": 2, "n_groups": 1, "chunk_size": 4,
                "time_step_limit": [0.0, float("inf")], "layer_norm_epsilon": 1e-5, "hidden_act": "silu",
                "rms_norm": True, "tie_word_embeddings": True, "eos_token_id": 0}
LAYER = "backbone.layers.0."
SHAPES = {"backbone.embedding.weight": [4, 2], LAYER + "norm.weight": [2], LAYER + "mixer.dt_bias": [2],
          LAYER + "mixer.A_log": [2], LAYER + "mixer.D": [2], LAYER + "mixer.in_proj.weight": [12, 2],
          LAYER + "mixer.conv1d.weight": [6, 1, 2], LAYER + "mixer.conv1d.bias": [6],
          LAYER + "mixer.norm.weight": [4], LAYER + "mixer.out_proj.weight": [2, 4], "backbone.norm_f.weight": [2]}


def product(shape):
    result = 1
    for size in shape:
        result *= size
    return result


def hugging_face_shapes():
    return {name.replace("embedding.", "embeddings."): shape for name, shape in SHAPES.items()}


# ------------------------------------------------------------------------------------------------------------- safetensors

WIDTH = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8}


def safetensors_of(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def safetensors(shapes, dtype="F32"):
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        begin, end = end, end + product(shape) * WIDTH[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    return safetensors_of(header, bytes(i % 61 for i in range(end)))


def tensor(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def make_safetensors():
    good = safetensors_of({"x": tensor([2], 0, 8)}, bytes(8))
    for dtype in WIDTH:
        seed("safetensors", "valid", f"model-{dtype.lower()}", safetensors(hugging_face_shapes(), dtype))
    seed("safetensors", "valid", "empty-tensor-and-scalar",
         safetensors_of({"a": tensor([0, 1 << 62], 0, 0), "b": tensor([], 0, 4)}, bytes(4)))
    seed("safetensors", "valid", "no-tensors", safetensors_of({}))
    seed("safetensors", "valid", "not-aligned", safetensors_of({"x": tensor([3], 0, 6, "F16"), "y": tensor([1], 6, 10),
                                                                "z": tensor([1], 10, 18, "F64")}, bytes(18)))
    seed("safetensors", "valid", "name-with-control-characters",
         safetensors_of({"\x1b]0;title\x07": tensor([2], 0, 8)}, bytes(8)))

    def bad(name, data):
        seed("safetensors", "refused", name, data)

    bad("empty-file", b"")
    bad("seven-bytes", good[:7])
    bad("truncated-in-header", good[:30])
    bad("truncated-in-data", good[:-1])
    bad("bytes-after-the-last-tensor", good + b"\0")
    bad("header-longer-than-file", safetensors_of({}, length=1 << 40))
    bad("header-length-wraps", safetensors_of({}, length=(1 << 64) - 8))
    bad("header-length-zero", safetensors_of(b"", bytes(8)))
    bad("overlapping", safetensors_of({"x": tensor([2], 0, 8), "y": tensor([1], 4, 8)}, bytes(8)))
    bad("same-bytes-twice", safetensors_of({"x": tensor([2], 0, 8), "y": tensor([2], 0, 8)}, bytes(8)))
    bad("hole", safetensors_of({"x": tensor([1], 4, 8)}, bytes(8)))
    bad("range-beyond-file", safetensors_of({"x": tensor([4], 0, 16)}, bytes(8)))
    bad("range-reversed", safetensors_of({"x": tensor([2], 8, 0)}, bytes(8)))
    bad("range-wraps", safetensors_of({"x": tensor([2], (1 << 64) - 8, 0)}, bytes(8)))
    bad("shape-too-large", safetensors_of({"x": tensor([3], 0, 8)}, bytes(8)))
    bad("shape-product-wraps", safetensors_of({"x": tensor([1 << 32, 1 << 32, 2], 0, 8)}, bytes(8)))
    bad("shape-bytes-wrap", safetensors_of({"x": tensor([(1 << 62) + 2], 0, 8)}, bytes(8)))
    bad("shape-negative", safetensors_of({"x": tensor([-2], 0, 8)}, bytes(8)))
    bad("shape-of-a-thousand-axes", safetensors_of({"x": tensor([1] * 1000 + [3], 0, 8)}, bytes(8)))
    bad("dtype-of-whole-numbers", safetensors_of({"x": tensor([1], 0, 8, "I64")}, bytes(8)))
    bad("dtype-missing", safetensors_of({"x": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)))
    bad("name-twice", safetensors_of(b'{"x":%s,"x":%s}' % ((json.dumps(tensor([2], 0, 8)).encode(),) * 2), bytes(8)))
    bad("name-that-clears-the-terminal", safetensors_of({"\x1b[2J\x1b[H": 1}))
    bad("name-of-ten-thousand-bytes", safetensors_of({"n" * 10000: 1}))
    bad("nested-deeply", safetensors_of(b'{"x":' * 300))
    bad("not-utf8", safetensors_of(b'{"\xff":1}'))
    bad("header-is-a-list", safetensors_of([]))
    bad("header-behind-a-space", safetensors_of(b" {}"))
    bad("pointer-of-git-lfs", POINTER)
    bad("web-page", PAGE)
    bad("a-pickle-instead", b"\x80\x02}.")


# -------------------------------------------------------------------------------------------------------------------- zip

def zip_of(files, spoil=None, zip64=False, comment=b"", count=None, place=None, size=None):
    """As torch.save() packs them: stored, the numbers at multiples of 64. `spoil` may change a directory entry."""
    archive, directory = b"", b""
    for number, (name, data, *method) in enumerate(files):
        method, flags = (method + [0, 0])[:2]
        name = name.encode() if isinstance(name, str) else name
        padding = (64 - (len(archive) + 30 + len(name) + 4) % 64) % 64
        fields = struct.pack("<HHHHHIII", 20, flags, method, 0, 0, 0, len(data), len(data))
        entry = (b"PK\1\2" + struct.pack("<H", 20) + fields +
                 struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, len(archive)) + name)
        directory += spoil(number, entry) if spoil else entry
        archive += (b"PK\3\4" + fields + struct.pack("<HH", len(name), 4 + padding) + name +
                    struct.pack("<HH", 0x4246, padding) + b"Z" * padding + data)
    begin = len(archive) if place is None else place
    archive += directory
    size = len(directory) if size is None else size
    count = len(files) if count is None else count
    if zip64:
        archive += struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, count, count, size, begin)
        archive += struct.pack("<IIQI", 0x07064b50, 0, len(archive) - 56, 1)
        return archive + struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
    return archive + struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, count, count, size, begin, len(comment)) + comment


def replaced(at, new, which=1):
    return lambda number, entry: entry[:at] + new + entry[at + len(new):] if number == which else entry


def make_zip():
    two = [("a", b"abc"), ("b", b"defg")]
    good = zip_of(two)
    seed("zip", "valid", "plain", good)
    seed("zip", "valid", "zip64", zip_of(two, zip64=True))
    seed("zip", "valid", "comment", zip_of(two, comment=b"hello"))
    seed("zip", "valid", "no-files", zip_of([]))
    seed("zip", "valid", "empty-files", zip_of([("a", b""), ("b", b""), ("c", b"x")]))

    def extra(number, entry):  # the true sizes and place in the field of zip64
        if number != 1:
            return entry
        field = struct.pack("<HHQQ", 1, 24, 4, 4) + entry[42:46] + bytes(4)
        return (entry[:20] + b"\xff" * 8 + entry[28:30] + struct.pack("<H", len(field)) + entry[32:42] +
                b"\xff" * 4 + entry[46:] + field)

    seed("zip", "valid", "sizes-in-the-zip64-field", zip_of(two, extra))

    def bad(name, data):
        seed("zip", "refused", name, data)

    bad("no-archive", b"x" * 100)
    bad("truncated", good[:-1])
    bad("truncated-to-the-end-record", good[-22:])
    bad("compressed", zip_of([("a", b"abc", 8)]))
    bad("encrypted", zip_of([("a", b"abc", 0, 1)]))
    bad("name-twice", zip_of([("a", b"abc"), ("a", b"def")]))
    bad("size-beyond-the-archive", zip_of(two, replaced(20, b"\xff\xff\xff\x7f" * 2)))
    bad("sizes-disagree", zip_of(two, replaced(20, b"\1")))
    bad("header-beyond-the-archive", zip_of(two, replaced(42, b"\xff\xff\xff\x7f")))
    bad("two-entries-one-file", zip_of([("a", b"abc"), ("b", b"abc")], replaced(42, bytes(4))))
    inner = zip_of([("b", b"xyz")])
    inner = inner[:inner.index(b"xyz") + 3]
    bad("overlapping-as-zip-bombs-do", zip_of([("a", inner), ("b", b"xyz")], lambda number, entry: entry if number == 0
        else entry[:42] + struct.pack("<I", zip_of([("a", inner)]).index(inner)) + entry[46:]))
    bad("claims-32767-files", zip_of(two, count=32767))
    bad("directory-beyond-the-archive", zip_of(two, place=1 << 30))
    bad("directory-too-large", zip_of(two, size=1 << 30))
    bad("zip64-place-wraps", zip_of(two, zip64=True, place=(1 << 64) - 1))
    bad("zip64-claims-2-to-the-60-files", zip_of(two, zip64=True, count=1 << 60))
    bad("zip64-record-nowhere", good[:-22] + struct.pack("<IIQI", 0x07064b50, 0, (1 << 64) - 1, 1) + good[-22:])
    bad("extra-field-too-long", zip_of([("a", b"abc")], lambda number, entry:
        entry[:30] + struct.pack("<H", 4) + entry[32:] + struct.pack("<HH", 1, 9999)))
    bad("name-longer-than-the-directory", zip_of(two, replaced(28, b"\xff\xff")))

    def local(at, new):  # of the first file
        return good[:at] + new + good[at + len(new):]

    for field, at in {"flags": 6, "method": 8, "check-sum": 14, "stored-size": 18, "size": 22}.items():
        bad(f"local-header-with-another-{field}", local(at, b"\x02"))
    bad("local-header-without-size", local(18, bytes(8)))

    def behind(descriptor):  # sizes and sum behind the file instead of in its local header
        packed = zip_of([("a", b"abc", 0, 8)], lambda number, entry: entry[:16] + sum_of_abc + entry[20:])
        begin = packed.index(b"PK\1\2")
        packed = packed[:14] + bytes(12) + packed[26:begin] + descriptor + packed[begin:]
        return packed[:-6] + struct.pack("<I", begin + len(descriptor)) + packed[-2:]

    sum_of_abc = struct.pack("<I", zlib.crc32(b"abc"))
    seed("zip", "valid", "sizes-behind-the-file", behind(b"PK\7\x08" + sum_of_abc + struct.pack("<II", 3, 3)))
    seed("zip", "valid", "long-sizes-behind-the-file", behind(b"PK\7\x08" + sum_of_abc + struct.pack("<QQ", 3, 3)))
    bad("sizes-behind-the-file-that-lie", behind(b"PK\7\x08" + sum_of_abc + struct.pack("<II", 3, 2)))
    bad("check-sum-behind-the-file-that-lies", behind(b"PK\7\x08" + bytes(4) + struct.pack("<II", 3, 3)))
    bad("nothing-behind-the-file", behind(b""))
    bad("name-that-clears-the-terminal", zip_of([("\x1b[2J", b"abc", 8)]))


# ----------------------------------------------------------------------------------------------------------------- pickle

def text(value):
    value = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(value)) + value


def number(value):
    return b"K" + bytes([value]) if value < 256 else b"J" + struct.pack("<i", value)


def long(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def sizes(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(size, key="0", kind="FloatStorage"):
    return (b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") +
            (size if isinstance(size, bytes) else number(size)) + b"tQ")


def view(source, offset, shape, strides):
    shape = shape if isinstance(shape, bytes) else sizes(shape)
    strides = strides if isinstance(strides, bytes) else sizes(strides)
    offset = offset if isinstance(offset, bytes) else number(offset)
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + source + offset + shape + strides +
            b"\x89ccollections\nOrderedDict\n)RtR")


def contiguous(shape):
    return [product(shape[axis + 1:]) for axis in range(len(shape))]


def dictionary(items):
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + b"".join(text(name) + value for name, value in items) + b"u."


def one(value):
    return dictionary([("a", value)])


def state_dict(shapes, kind="FloatStorage", others={}):
    """Each tensor a storage of its own; `others` replaces or adds views."""
    views = {name: view(storage(product(shape), str(i), kind), 0, shape, contiguous(shape))
             for i, (name, shape) in enumerate(shapes.items())}
    return dictionary({**views, **others}.items())


def make_pickle():
    good = one(view(storage(6), 0, [2, 3], [3, 1]))
    transposed = one(view(storage(6), 0, [3, 2], [1, 3]))
    seed("pickle", "valid", "contiguous", good)
    seed("pickle", "valid", "transposed", transposed)
    seed("pickle", "valid", "metadata", good[:-1] + b"}" + text("_metadata") + b"}sb.")
    seed("pickle", "valid", "parameter",
         one(b"ctorch._utils\n_rebuild_parameter\n" + view(storage(6), 0, [6], [1]) + b"\x88}\x87R"))
    seed("pickle", "valid", "memo", b"\x80\x02}q\0(" + text("a") + b"q\1" + view(storage(6), 0, [6], [1]) +
         b"q\2" + text("b") + b"h\2uh\0.")
    seed("pickle", "valid", "model", state_dict(SHAPES, "BFloat16Storage"))
    for name, data in torch_save.ways().items():
        seed("pickle", "valid", "torch-save-" + name, data)
    seed("pickle", "valid", "empty-dict-of-protocol-4", b"\x80\4}.")
    archive = (GOLDEN / "lm/tiny/pytorch_model.bin").read_bytes()
    begin = archive.index(b"\x80\x02")
    seed("pickle", "valid", "golden", archive[begin:archive.index(b".PK", begin) + 1])

    def bad(name, data):
        seed("pickle", "refused", name, data)

    bad("os-system", b"cos\nsystem\n(S'echo gotcha'\ntR.")
    bad("os-system-named-by-two-texts", b"\x80\x02" + text("os") + text("system") + b"\x93.")
    bad("builtins-eval", b"c__builtin__\neval\n(" + text("1+1") + b"tR.")
    bad("inst", b"(ios\nsystem\n.")
    bad("obj", b"(ctorch\nFloatStorage\no.")
    bad("newobj", b"ctorch\nFloatStorage\n)\x81.")
    bad("extension-registry", b"\x82\1.")
    bad("next-buffer", b"\x80\x02\x97.")
    bad("protocol-1", b"\x80\1}.")
    bad("protocol-6", b"\x80\6}.")
    bad("frame-beyond-the-end", b"\x80\4\x95" + b"\xff" * 8 + b"}.")
    bad("text-of-2-to-the-64-bytes", b"\x80\4\x8d" + b"\xff" * 8)
    bad("two-models", torch_save.pickled(torch_save.training_run("model", state_dict=torch_save.tensors())))
    bad("model-under-another-name", torch_save.pickled(torch_save.training_run("net"), 4))
    bad("numbers-with-the-other-sign", torch_save.pickled(torch_save.tensors(lambda tensor: tensor, {"neg": True})))
    bad("wrapped-twice", torch_save.pickled(torch_save.tensors(lambda tensor: torch_save.from_type(torch_save.from_type(tensor)))))
    bad("bytes-without-a-type", one(view(storage(24, kind="FloatStorage").replace(
        b"ctorch\nFloat", b"ctorch.storage\nUntyped"), 0, [6], [1])))
    bad("calls-a-storage-type", b"ctorch\nFloatStorage\n)R.")
    bad("global-without-end", b"c" + b"o" * 500)
    bad("global-that-clears-the-terminal", b"c\x1b[2J\nx\n.")
    bad("sets-an-attribute", b"}}" + text("__class__") + b"K\1sb.")
    bad("empty", b"")
    bad("truncated", good[:-1])
    bad("empty-stack", b".")
    bad("below-the-mark", b"K\1(.")
    bad("no-mark", b"t.")
    bad("memo-never-kept", b"j\xff\xff\xff\xff.")
    bad("key-without-value", b"}(K\1u.")
    bad("text-of-four-gigabytes", b"X\xff\xff\xff\xffabc")
    bad("integer-of-255-bytes", b"\x8a\xff" + b"x" * 255)
    bad("name-twice", dictionary([("a", view(storage(6), 0, [6], [1]))] * 2))
    bad("shape-beyond-storage", one(view(storage(6), 0, [3, 3], [3, 1])))
    bad("offset-beyond-storage", one(view(storage(6), 7, [0], [1])))
    bad("stride-zero", one(view(storage(6), 0, [256, 256], [0, 0])))
    bad("stride-wraps", one(view(storage(6), 0, [3, 2], b"(" + long((1 << 63) - 1) + number(1) + b"t")))
    bad("shape-wraps", one(view(storage(6), 0, b"(" + long(1 << 62) + number(4) + b"t", [1, 1])))
    bad("shape-negative", one(view(storage(6), 0, b"(" + long(-1) + b"t", [1])))
    bad("storage-negative", one(view(storage(long(-1)), 0, [1], [1])))
    bad("shape-of-seventeen-axes", one(view(storage(6), 0, [1] * 17, [1] * 17)))
    bad("shape-and-strides-differ", one(view(storage(6), 0, [2], [1, 1])))
    bad("storage-of-whole-numbers", one(view(storage(6, kind="LongStorage"), 0, [6], [1])))
    bad("storage-named-by-65-bytes", one(view(storage(6, "0" * 65), 0, [6], [1])))
    bad("dict-in-itself", b"}q\0" + text("a") + b"h\0s.")
    bad("tuples-nested-deeply", b")" + b"\x85" * 5000 + b".")
    bad("tuples-doubled-again-and-again", b"Nq\0" + b"h\0h\0\x86q\0" * 500 + b".")
    bad("marks-without-end", b"(" * 5000)


# ----------------------------------------------------------------------------------------------------------- pytorch_file

def pytorch_file(pickle, storages, folder="m/", more=()):
    return zip_of([(folder + "data.pkl", pickle)] + [(f"{folder}data/{key}", data) for key, data in storages] +
                  [(folder + name, data) for name, data in more])


def model_file(shapes, others={}):
    return pytorch_file(state_dict(shapes, others=others), [(i, bytes(j % 61 for j in range(4 * product(shape))))
                                             for i, shape in enumerate(shapes.values())])


def shared_storage(shapes):
    """Every tensor lies at the beginning of one storage: the numbers are claimed again and again."""
    largest = max(map(product, shapes.values()))
    views = [(name, view(storage(largest), 0, shape, contiguous(shape))) for name, shape in shapes.items()]
    return pytorch_file(dictionary(views), [(0, bytes(4 * largest))])


def make_pytorch_file():
    pickle = one(view(storage(6), 0, [2, 3], [3, 1]))
    six = bytes(24)
    good = pytorch_file(pickle, [(0, six)])
    seed("pytorch_file", "valid", "one-tensor", good)
    seed("pytorch_file", "valid", "transposed", pytorch_file(one(view(storage(6), 0, [3, 2], [1, 3])), [(0, six)]))
    seed("pytorch_file", "valid", "model", model_file(SHAPES))
    seed("pytorch_file", "valid", "little-endian", pytorch_file(pickle, [(0, six)], more=[("byteorder", b"little")]))

    def bad(name, data):
        seed("pytorch_file", "refused", name, data)

    bad("truncated", good[:-1])
    bad("storage-missing", pytorch_file(pickle, []))
    bad("storage-too-small", pytorch_file(pickle, [(0, six[:-1])]))
    bad("storage-too-large", pytorch_file(pickle, [(0, six + b"\0")]))
    bad("storage-claims-2-to-the-62",
        pytorch_file(one(view(storage(long(1 << 62)), 0, b"(" + long(1 << 62) + b"t", [1])), [(0, six)]))
    bad("storage-elsewhere", pytorch_file(one(view(storage(6, "../../../etc/passwd"), 0, [6], [1])), [(0, six)]))
    bad("two-pickles", zip_of([("m/data.pkl", pickle), ("n/data.pkl", pickle), ("m/data/0", six)]))
    bad("no-pickle", zip_of([("model.txt", b"hello")]))
    bad("big-endian", pytorch_file(pickle, [(0, six)], more=[("byteorder", b"big")]))
    bad("old-format", b"\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")
    bad("pickle-that-calls", pytorch_file(b"cos\nsystem\n(S'echo gotcha'\ntR.", []))


# ------------------------------------------------------------------------------------------------- json, configurations

def make_json():
    for name, value in {"numbers": "[0, -1, 2.5e-3, 18446744073709551615]", "nested": '{"a": [{"b": null}], "c": true}',
                        "escapes": r'{"\u00e9\\\"": "\ud83d\ude00 Infinity"}', "python-words": "[NaN, -Infinity, Infinity]",
                        "config": json.dumps(HUGGING_FACE)}.items():
        seed("json", "valid", name, value)
    seed("json", "refused", "pointer-of-git-lfs", POINTER)
    seed("json", "refused", "web-page", PAGE)
    for name, value in {"empty": "", "unfinished": '{"a": [1, 2', "two-values": "[1] [2]", "key-twice": '{"a":1,"a":2}',
                        "key-twice-spelled-in-two-ways": r'{"a":1,"\u0061":2}', "nested-deeply": "[" * 500,
                        "objects-nested-deeply": '{"a":' * 500, "number-too-large": "[1e999]", "not-utf8": b'["\xc3\x28"]',
                        "half-a-surrogate": r'["\ud83d"]', "comment": "[1] // one", "bare-word": "[Infinite]",
                        "trailing-comma": "[1,]", "zero-byte": b"[1]\0", "eleven-thousand-values": "[" + "0," * 11000 + "0]",
                        "word-of-ten-thousand-bytes": '["' + "x" * 10000}.items():
        seed("json", "refused", name, value)


def changed(base, **changes):
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            del result[key]
        else:
            result[key] = value
    return json.dumps(result)


def make_model_config():
    def ssm(**options):
        return changed(REFERENCE, ssm_cfg={**REFERENCE["ssm_cfg"], **options})

    for name, value in {
            "reference": json.dumps(REFERENCE), "hugging-face": json.dumps(HUGGING_FACE),
            "golden-reference": (GOLDEN / "lm/tiny/config.json").read_text(),
            "golden-hugging-face": (GOLDEN / "lm/tiny-hf/config.json").read_text(),
            "every-option": ssm(d_ssm=2, D_has_hdim=True, rmsnorm=False, norm_before_gate=True, bias=True,
                                conv_bias=False, conv_init=0.5, A_init_range=[2, 3], dt_min=0.01, dt_max=0.2,
                                dt_init_floor=0.001, dt_limit=[0.5, 1.5], device=None, dtype=None),
            "infinite-limit-as-an-object": changed(HUGGING_FACE, time_step_limit=[0, {"__float__": "Infinity"}]),
            "several-ends-of-a-text": changed(HUGGING_FACE, eos_token_id=[3, 1]),
            "names-of-a-training-library": changed(HUGGING_FACE, layer_norm_epsilon=None, norm_eps=1e-3, rmsnorm=True,
                                                   time_step_limit=None, dt_limit=[0.0, float("inf")], attn={},
                                                   D_has_hdim=True, norm_before_gate=True, fuse_norm=True),
            "keys-of-bookkeeping": changed(HUGGING_FACE, torch_dtype="float32", transformers_version="4.44.0",
                                           architectures=["Mamba2ForCausalLM"], bos_token_id=0, pad_token_id=0,
                                           use_cache=True, initializer_range=0.1, rescale_prenorm_residual=False,
                                           residual_in_fp32=True, time_step_rank=1, time_step_scale=1.0,
                                           intermediate_size=4, norm_before_gate=True, batch_size=64, seed=1),
            "fewer-tokens-than-rows": changed(HUGGING_FACE, unpadded_vocab_size=3, pad_vocab_size_multiple=2),
            "largest-sizes": changed(REFERENCE, d_model=1 << 24, vocab_size=1 << 24, n_layer=4096)}.items():
        seed("model_config", "valid", name, value)
    for name, value in {
            "unknown-eps": changed(REFERENCE, norm_epsilon=1e-3), "option-of-the-block-at-the-top":
            changed(REFERENCE, d_state=3), "unknown-scale": changed(HUGGING_FACE, residual_scale=2.0),
            "quantization": changed(HUGGING_FACE, quantization_config={"bits": 4}), "two-eps-that-differ":
            changed(HUGGING_FACE, norm_eps=1e-3), "end-of-text-is-a-text": changed(HUGGING_FACE, eos_token_id="</s>"),
            "end-of-text-beyond-the-vocabulary": changed(HUGGING_FACE, eos_token_id=[0, 4]), "end-of-text-negative":
            changed(HUGGING_FACE, eos_token_id=-1), "rows-that-are-not-the-padded-tokens":
            changed(HUGGING_FACE, unpadded_vocab_size=1, pad_vocab_size_multiple=2), "intermediate-size-of-another-model":
            changed(HUGGING_FACE, intermediate_size=5), "pointer-of-git-lfs": POINTER, "web-page": PAGE,
            "no-object": "[]", "another-model": changed(HUGGING_FACE, model_type="llama"), "d_model-missing":
            changed(REFERENCE, d_model=None), "n_layer-missing": changed(REFERENCE, n_layer=None),
            "n_layer-of-a-million": changed(REFERENCE, n_layer=1000000), "d_model-zero": changed(REFERENCE, d_model=0),
            "d_model-negative": changed(REFERENCE, d_model=-2), "d_model-fraction": changed(REFERENCE, d_model=2.5),
            "d_model-of-twenty-digits": changed(REFERENCE, d_model=10**20), "vocab_size-huge":
            changed(REFERENCE, vocab_size=1 << 40), "expand-huge": ssm(expand=1 << 24, headdim=3),
            "headdim-does-not-divide": ssm(headdim=3), "headdim-zero": ssm(headdim=0), "ngroups-zero": ssm(ngroups=0),
            "d_conv-zero": ssm(d_conv=0), "d_state-zero": ssm(d_state=0), "chunk_size-zero": ssm(chunk_size=0),
            "unknown-option": ssm(d_sate=3), "mamba-1": ssm(layer="Mamba1"), "limits-reversed": ssm(dt_limit=[3, 1]),
            "limit-nan": changed(HUGGING_FACE, time_step_limit=[float("nan"), 1]), "attention":
            changed(REFERENCE, attn_layer_idx=[0]), "head_dim-zero": changed(HUGGING_FACE, head_dim=0),
            "pad-multiple-zero": changed(REFERENCE, pad_vocab_size_multiple=0), "eps-negative":
            changed(HUGGING_FACE, layer_norm_epsilon=-1), "eps-nan":
            changed(HUGGING_FACE, layer_norm_epsilon=float("nan")), "ssm_cfg-is-a-list":
            changed(REFERENCE, ssm_cfg=[]), "d_model-twice": json.dumps(REFERENCE)[:-1] + ', "d_model": 4}',
            "option-that-clears-the-terminal": ssm(**{"\x1b[2J": 1}), "nested-deeply":
            '{"d_model":' + "[" * 3000}.items():
        seed("model_config", "refused", name, value)


# ------------------------------------------------------------------------------------------------------------------- npy

def npy(descr, shape, data, order="False", version=1):
    header = ("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n" % (descr, order, shape)).encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def make_npy():
    seed("npy", "valid", "golden", (GOLDEN / "lm/tiny/input_ids.npy").read_bytes())
    for descr, data in {"|u1": b"\1\2", "|i1": b"\1\xff", "<u2": bytes(4), "<i4": bytes(8), "<u8": bytes(16)}.items():
        seed("npy", "valid", descr[1:], npy(descr, "(2,)", data))
    seed("npy", "valid", "two-axes", npy("<i2", "(2, 3)", bytes(12)))
    seed("npy", "valid", "version-2", npy("<i8", "(1,)", bytes(8), version=2))
    good = npy("<i8", "(1,)", bytes(8))
    for name, data in {
            "empty": b"", "no-npy": b"hello hello hello", "only-the-magic": b"\x93NUMPY\1\0", "truncated-header": good[:40],
            "truncated-data": good[:-1], "bytes-after": good + b"\0", "header-beyond-file": good[:8] + b"\xff\xff" + good[10:],
            "header-of-four-gigabytes": good[:6] + b"\2\0\xff\xff\xff\xff" + good[12:], "floats": npy("<f4", "(1,)", bytes(4)),
            "big-endian": npy(">i4", "(1,)", bytes(4)), "objects": npy("|O", "(1,)", bytes(8)), "fortran":
            npy("<i2", "(2, 3)", bytes(12), "True"), "shape-claims-more": npy("<i2", "(4,)", bytes(6)), "shape-wraps":
            npy("<i2", "(9223372036854775809, 2)", bytes(4)), "shape-of-twenty-digits":
            npy("<i2", "(99999999999999999999,)", bytes(6)), "three-axes": npy("<i2", "(1, 1, 3)", bytes(6)), "no-axes":
            npy("<i2", "()", bytes(2)), "no-ids": npy("<i8", "(0,)", b""), "huge-and-empty": npy("<i2", "(18446744073709551615, 0)", b""), "huge-and-empty-of-three-axes": npy("<i2", "(0, 18446744073709551615, 3)", b""), "width-nine":
            npy("<i9", "(1,)", bytes(9)), "width-zero": npy("<i0", "(0,)", b""), "shape-with-words": npy("<i2", "(1, two)", bytes(2)), "no-shape":
            good.replace(b"'shape'", b"'shope'"), "type-that-clears-the-terminal":
            npy("\x1b[2", "(1,)", bytes(4))}.items():
        seed("npy", "refused", name, data)


# ------------------------------------------------------------------------------------------------------- model_directory

def directory(files):
    return b"\n".join(b"=== " + name.encode() + b"\n" + (data.encode() if isinstance(data, str) else data)
                      for name, data in files.items())


def make_model_directory():
    names = hugging_face_shapes()
    weights, config = safetensors(names), json.dumps(HUGGING_FACE)
    parts = {"a": dict(list(names.items())[::2]), "b": dict(list(names.items())[1::2])}
    files = {f"{part}.safetensors": safetensors(shapes) for part, shapes in parts.items()}
    index = {name: f"{part}.safetensors" for part, shapes in parts.items() for name in shapes}

    def split(**changes):
        weight_map = {key: value for key, value in {**index, **changes}.items() if value is not None}
        return directory({"config.json": config, "model.safetensors.index.json": json.dumps({"weight_map": weight_map}),
                          **files})

    good = directory({"config.json": config, "model.safetensors": weights})
    seed("model_directory", "valid", "hugging-face", good)
    seed("model_directory", "valid", "split", split())
    seed("model_directory", "valid", "reference",
         directory({"config.json": json.dumps(REFERENCE), "pytorch_model.bin": model_file(SHAPES)}))
    seed("model_directory", "valid", "half",
         directory({"config.json": config, "model.safetensors": safetensors(names, "F16")}))
    tied = {"lm_head.weight": view(storage(8, "0"), 0, [4, 2], [2, 1])}
    seed("model_directory", "valid", "tied-head-under-two-names",
         directory({"config.json": json.dumps(REFERENCE), "pytorch_model.bin": model_file(SHAPES, tied)}))
    transposed = {LAYER + "mixer.in_proj.weight": view(storage(24, "5"), 0, [12, 2], [1, 12])}
    seed("model_directory", "valid", "transposed-weight",
         directory({"config.json": json.dumps(REFERENCE), "pytorch_model.bin": model_file(SHAPES, transposed)}))

    small_tokenizer = json.dumps({"model": {"vocab": {"a": 0, "b": 2}}})
    seed("model_directory", "valid", "files-beside",
         directory({"config.json": config, "model.safetensors": weights, "tokenizer.json": small_tokenizer,
                    "generation_config.json": json.dumps({"eos_token_id": [1, 2], "top_k": 40})}))
    seed("model_directory", "valid", "tokenizer-that-is-none",
         directory({"config.json": config, "model.safetensors": weights, "tokenizer.json": PAGE}))

    def bad(name, data):
        seed("model_directory", "refused", name, data)

    bad("generation-config-of-another-model", directory({
        "config.json": config, "model.safetensors": weights, "generation_config.json": '{"eos_token_id": 50256}'}))
    bad("pointers-of-git-lfs", directory({"config.json": config, "pytorch_model.bin": POINTER}))

    first = next(iter(index))
    bad("empty", b"")
    bad("no-config", directory({"model.safetensors": weights}))
    bad("no-weights", directory({"config.json": config}))
    bad("empty-weights", directory({"config.json": config, "model.safetensors": b""}))
    bad("config-of-a-huge-model", directory({"config.json": changed(HUGGING_FACE, hidden_size=1 << 24, num_heads=None),
                                             "model.safetensors": weights}))
    bad("config-of-many-layers", directory({"config.json": changed(HUGGING_FACE, num_hidden_layers=4096),
                                            "model.safetensors": weights}))
    bad("tensor-missing", directory({"config.json": config, "model.safetensors": safetensors(parts["a"])}))
    bad("tensor-surplus", directory({"config.json": config, "model.safetensors": safetensors({**names, "more": [2]})}))
    bad("head-that-is-not-the-embedding", directory({
        "config.json": config, "model.safetensors": safetensors({**names, "lm_head.weight": [4, 2]})}))
    bad("all-tensors-share-one-storage", directory({"config.json": json.dumps(REFERENCE),
                                                    "pytorch_model.bin": shared_storage(SHAPES)}))
    many = {name.replace("layers.0", f"layers.{i}"): shape for i in range(12) for name, shape in SHAPES.items()}
    bad("twelve-layers-share-one-storage", directory({"config.json": changed(REFERENCE, n_layer=12),
                                                     "pytorch_model.bin": shared_storage(many)}))
    for name, trick in {"parent": "../a.safetensors", "absolute": "/etc/passwd", "hidden": ".a.safetensors", "empty": "",
                        "backslash": "a\\b.safetensors", "folder": "x/a.safetensors", "zero-byte": "a.safetensors\0",
                        "number": 3, "missing-file": "c.safetensors", "other-extension": "a.bin", "itself":
                        "model.safetensors.index.json", "another-file": "b.safetensors",
                        "very-long": "x" * 300 + ".safetensors"}.items():
        bad("index-names-" + name, split(**{first: trick}))
    bad("index-without-a-tensor", split(**{first: None}))
    bad("index-with-one-tensor-more", split(more="a.safetensors"))
    bad("index-without-weight_map", directory({"config.json": config, "model.safetensors.index.json": "{}", **files}))
    bad("index-key-twice", split().replace(b'{"weight_map": {', b'{"weight_map": {"%s": "b.safetensors", ' % first.encode()))
    bad("index-nested-deeply", directory({"config.json": config, "model.safetensors.index.json": '{"weight_map":' * 200}))


# -------------------------------------------------------------------------------------------------------------- tokenizer

def byte_letters():
    """The letters by which a vocabulary writes bytes."""
    letters, following = [], 0x100
    for byte in range(256):
        visible = 0x20 < byte < 0x7f or byte > 0xa0 and byte != 0xad
        letters.append(chr(byte if visible else following))
        following += not visible
    return letters


def tokenizer(letters="abc \n\xc3\xa9", model={}, added=(), **options):
    vocab = {byte_letters()[ord(letter)]: number for number, letter in enumerate(letters)}
    vocab.update({"ab": len(vocab), "abc": len(vocab) + 1})
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "normalizer": {"type": "NFC"},
                       "added_tokens": list(added),
                       "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
                       "post_processor": {"type": "ByteLevel"}, "decoder": {"type": "ByteLevel"},
                       "model": {"type": "BPE", "vocab": vocab, "merges": ["a b", ["ab", "c"]], **model}, **options})


def sequence(steps, name):
    return {"type": "Sequence", name: list(steps)}


def split(pattern, behavior="Isolated", **options):
    return sequence([{"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, **options},
                     {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}], "pretokenizers")


def around(single, **special):
    return {"type": "TemplateProcessing", "single": single,
            "special_tokens": {name: {"id": name, "ids": ids} for name, ids in special.items()}}


TEXT, BEGIN, END = {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "b"}}, {"SpecialToken": {"id": "e"}}
SPACES = [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
          {"type": "Strip", "content": " ", "start": 1, "stop": 0}]


def sentencepiece(decoders=SPACES, model={}, **options):
    """Characters that fall back on bytes, a sign for the space."""
    tokens = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in (0xc3, 0xa9, 0x0a)), "\u2581", "a", "b", "\u2581a", "ab"]
    return json.dumps({"added_tokens": [{"id": 1, "content": "<s>", "special": True}], "pre_tokenizer": None,
                       "normalizer": sequence([{"type": "Prepend", "prepend": "\u2581"},
                                               {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}],
                                              "normalizers"),
                       "post_processor": around([BEGIN, TEXT], b=[1]), "decoder": sequence(decoders, "decoders"),
                       "model": {"type": "BPE", "vocab": {token: number for number, token in enumerate(tokens)},
                                 "merges": ["\u2581 a", "a b"], "byte_fallback": True, "unk_token": "<unk>",
                                 "fuse_unk": True, **model}, **options}) + "\n===\nab a\u00e9 \u4e16\u754c\n<s>b"


def make_tokenizer():
    end = {"id": 20, "content": "<|end|>", "special": True}
    greedy = {"id": 21, "content": "a b", "lstrip": True, "rstrip": True, "single_word": True}
    golden = (GOLDEN / "tokenizer/tokenizer.json").read_text()
    long = "ab" * 300 + "c\n"
    for name, value in {
            "small": tokenizer(), "golden": golden, "added-tokens": tokenizer(added=[end, greedy]) + "\n===\nc  a b <|end|>abc",
            "long-word": tokenizer() + "\n===\n" + long, "composed-and-not": tokenizer() + "\n===\n\u00e9e\u0301",
            "prefix-space": tokenizer(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}) + "\n===\nabc",
            "largest-number": tokenizer(added=[{**end, "id": (1 << 20) - 1}]), "no-text": tokenizer() + "\n===\n"}.items():
        seed("tokenizer", "valid", name, value)
    pattern = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for name, value in {
            "sentencepiece": sentencepiece(), "sentencepiece-unknown-apart": sentencepiece(model={"fuse_unk": False}),
            "sentencepiece-no-strip": sentencepiece(SPACES[:2]), "split": tokenizer(pre_tokenizer=split(pattern)) + "\n===\nabc  ab\n\nc",
            "split-kept-matches": tokenizer(pre_tokenizer=split("[ab]+", "Removed", invert=True)) + "\n===\nabcab",
            "split-removed": tokenizer(pre_tokenizer=split("b*", "Removed")) + "\n===\nabcab",
            "digits": tokenizer(pre_tokenizer=sequence([{"type": "Digits", "individual_digits": True},
                                                        {"type": "ByteLevel"}], "pretokenizers")) + "\n===\na b",
            "split-backtracks": tokenizer(pre_tokenizer=split("(a|aa)*b")) + "\n===\n" + "a" * 400,
            "ignore-merges": tokenizer(model={"ignore_merges": True}) + "\n===\nabc ab",
            "around": tokenizer(post_processor=sequence([{"type": "ByteLevel"}, around([BEGIN, TEXT, END], b=[0], e=[1, 2])],
                                                        "processors")) + "\n===\nabc",
            "sequences-in-sequences": tokenizer(normalizer=sequence([sequence([{"type": "NFC"}], "normalizers")],
                                                                    "normalizers")) + "\n===\nabc",
            "no-decoder": tokenizer(decoder=None) + "\n===\nabc",
            "left-over": tokenizer(truncation={"max_length": 3}, padding={"pad_id": 0}) + "\n===\nabcabc",
            "spaces-taken-along": tokenizer(added=[{"id": 20, "content": "<r>", "rstrip": True},
                                                   {"id": 21, "content": "  "}]) + "\n===\n<r>   a<r>  <r>",
            "replaced": tokenizer(normalizer={"type": "Replace", "pattern": {"String": "c"}, "content": "ab"})
            + "\n===\nccc"}.items():
        seed("tokenizer", "valid", name, value)
    seed("tokenizer", "valid", "text-not-utf8", tokenizer().encode() + b"\n===\nab\xff\xfe\xc3")
    seed("tokenizer", "valid", "text-cut-off", tokenizer().encode() + b"\n===\nab\xe2\x82")
    for name, value in {
            "empty": "", "no-model": '{"pre_tokenizer": {"type": "ByteLevel"}}',
            "truncated": tokenizer()[:-1], "unigram": tokenizer(model={"type": "Unigram"}), "no-vocab":
            tokenizer(model={"vocab": {}}), "vocab-is-a-list": tokenizer(model={"vocab": []}), "number-twice":
            tokenizer(model={"vocab": {"a": 0, "b": 0}, "merges": []}), "number-negative":
            tokenizer(model={"vocab": {"a": -1}, "merges": []}), "number-huge":
            tokenizer(model={"vocab": {"a": 1 << 40}, "merges": []}), "merge-of-unknown-tokens":
            tokenizer(model={"merges": ["x y"]}), "merge-twice": tokenizer(model={"merges": ["a b", "a b"]}), "merge-of-three":
            tokenizer(model={"merges": ["a b c"]}), "merge-of-numbers": tokenizer(model={"merges": [[1, 2]]}), "dropout":
            tokenizer(model={"dropout": 0.1}), "added-token-empty": tokenizer(added=[{**end, "content": ""}]), "added-token-twice":
            tokenizer(added=[end, end]), "added-token-with-another-number": tokenizer(added=[{**end, "content": "ab"}]),
            "added-token-long": tokenizer(added=[{**end, "content": "x" * 2000}]), "added-token-that-clears-the-terminal":
            tokenizer(added=[end, {**end, "content": "\x1b[2J"}]), "template-with-tokens-of-no-number":
            tokenizer(post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {}}]}),
            "template-without-the-text": tokenizer(post_processor=around([BEGIN], b=[0])), "template-of-unknown-number":
            tokenizer(post_processor=around([BEGIN, TEXT], b=[500])), "template-of-many-tokens":
            tokenizer(post_processor=around([BEGIN] * 1500 + [TEXT], b=[0])), "pattern-broken":
            tokenizer(pre_tokenizer=split("a(b")), "pattern-long": tokenizer(pre_tokenizer=split("a" * 5000)), "pattern-of-hex":
            tokenizer(pre_tokenizer=split("\\h+")), "pattern-merged": tokenizer(pre_tokenizer=split("a", "MergedWithNext")),
            "bytes-not-last": tokenizer(pre_tokenizer=sequence([{"type": "ByteLevel"}] * 2, "pretokenizers")),
            "decoders-in-another-order": sentencepiece(SPACES[::-1]), "decoder-of-bytes":
            sentencepiece([{"type": "ByteLevel"}]), "decoder-missing": sentencepiece(decoder=None), "strip-at-the-end":
            sentencepiece(SPACES[:3] + [{**SPACES[3], "stop": 1}]), "strip-many":
            sentencepiece(SPACES[:3] + [{**SPACES[3], "start": 1 << 40}]), "unknown-token-unknown":
            sentencepiece(model={"unk_token": "<none>"}), "sequence-without-steps": tokenizer(normalizer={"type": "Sequence"}),
            "replacement-long": tokenizer(normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 2000}),
            "other-normalizer": tokenizer(normalizer={"type": "NFKD"}), "vocab-key-twice":
            tokenizer().replace('"vocab": {', '"vocab": {"a": 90, '), "nested-deeply": '{"model":' * 300}.items():
        seed("tokenizer", "refused", name, value)


for make in (make_safetensors, make_zip, make_pickle, make_pytorch_file, make_json, make_model_config, make_npy,
             make_model_directory, make_tokenizer):
    make()
for path, data in seeds.items():
    place = pathlib.Path(sys.argv[1]) / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
print(f"{len(seeds)} seeds, {sum(map(len, seeds.values()))} bytes")
