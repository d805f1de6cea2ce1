#!/usr/bin/env python3
"""Compares mamba2 with PyTorch on the same weights: first the logits, then the speed of a prompt. Or the speed of training.

  apt install python3-torch libopenblas0-openmp
  bench/compare_pytorch.py --model mamba2-130m
  bench/compare_pytorch.py --training build/bin/benchmarks

Each number of threads gets a process of its own, with PyTorch's threads and those of its BLAS held to it from the start; both
programs run with an allocator that keeps what it has once had. PyTorch's BLAS should be an OpenBLAS built on OpenMP, whose threads
are PyTorch's own: others fight with them for the cores, and one thread may mean two. The script says which BLAS it found.

The model in PyTorch is a plain statement of the chunked form, as the book tells it: batched products, no kernels of its own.
DIR is a directory in the reference's layout: config.json and pytorch_model.bin. One group, one D a head, tied weights.
The step of training is that of the benchmark `training`: the same sizes, random weights and text, AdamW, a clipped gradient.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
import torch
from torch.nn.functional import conv1d, cross_entropy, embedding, linear, pad, silu, softplus


def scan(x, dt, A, B, C, Q):
    """x (b, l, h, p), dt (b, l, h), A (h), B and C (b, l, n); l a multiple of Q. Returns y as x."""
    b, l, h, p = x.shape
    chunks = lambda t: t.reshape(b, l // Q, Q, *t.shape[2:])
    x, dt, B, C = chunks(x * dt[..., None]), chunks(dt), chunks(B), chunks(C)
    s = torch.cumsum(dt * A, dim=2).transpose(2, 3)  # (b, c, h, Q)
    L = torch.exp((s[..., :, None] - s[..., None, :]).tril()).tril()
    x = x.transpose(2, 3)  # (b, c, h, Q, p)
    scores = (C @ B.transpose(2, 3))[:, :, None] * L  # (b, c, h, Q, Q)
    y = scores @ x
    left = torch.exp(s[..., -1:] - s)[..., None]  # what is left of each token at the end of its chunk
    incoming = (x * left).transpose(3, 4) @ B[:, :, None]  # (b, c, h, p, n)
    state, fade = torch.zeros_like(incoming[:, 0]), torch.exp(s[..., -1])[..., None, None]
    for c in range(l // Q):
        y[:, c] += torch.exp(s[:, c])[..., None] * (C[:, c, None] @ state.transpose(2, 3))
        state = fade[:, c] * state + incoming[:, c]
    return y.transpose(2, 3).reshape(b, l, h, p)


def rms_norm(x, weight, eps=1e-5):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


class Model:
    def __init__(self, weights, layers, d_state, headdim, Q):
        self.w, self.layers, self.n, self.p, self.Q = weights, layers, d_state, headdim, Q

    @staticmethod
    def load(directory, Q):
        config = json.loads((directory / "config.json").read_text())
        layer = config.get("ssm_cfg", {})
        if layer.get("ngroups", 1) != 1 or layer.get("D_has_hdim") or not config.get("tie_embeddings", True):
            sys.exit("compare_pytorch.py: this model has options that the comparison does not know")
        weights = {k: v.float() for k, v in torch.load(directory / "pytorch_model.bin", map_location="cpu").items()}
        return Model(weights, config["n_layer"], layer.get("d_state", 128), layer.get("headdim", 64), Q)

    @staticmethod
    def random(d, layers, vocabulary, Q, n=128, p=64):
        inner, h = 2 * d, 2 * d // p
        weights = {"backbone.embedding.weight": 0.02 * torch.randn(vocabulary, d), "backbone.norm_f.weight": torch.ones(d)}
        for i in range(layers):
            name = f"backbone.layers.{i}"
            weights[f"{name}.norm.weight"] = torch.ones(d)
            for key, value in {"in_proj.weight": torch.randn(2 * inner + 2 * n + h, d) / d**0.5,
                               "conv1d.weight": torch.rand(inner + 2 * n, 1, 4) - 0.5,
                               "conv1d.bias": torch.zeros(inner + 2 * n), "dt_bias": torch.full((h,), -4.0),
                               "A_log": torch.log(1 + 15 * torch.rand(h)), "D": torch.ones(h),
                               "norm.weight": torch.ones(inner),
                               "out_proj.weight": torch.randn(d, inner) / inner**0.5}.items():
                weights[f"{name}.mixer.{key}"] = value
        return Model(weights, layers, n, p, Q)

    def mixer(self, u, name):
        w = lambda key: self.w[f"{name}.{key}"]
        h, n = w("A_log").numel(), self.n
        inner = h * self.p
        z, xBC, dt = torch.split(linear(u, w("in_proj.weight")), [inner, inner + 2 * n, h], dim=-1)
        taps = w("conv1d.weight")
        xBC = pad(xBC.transpose(1, 2), (taps.shape[-1] - 1, 0))
        xBC = silu(conv1d(xBC, taps, w("conv1d.bias"), groups=taps.shape[0])).transpose(1, 2)
        x, B, C = torch.split(xBC, [inner, n, n], dim=-1)
        x = x.reshape(*x.shape[:2], h, self.p)
        dt = softplus(dt + w("dt_bias"))
        l = x.shape[1]
        fill = lambda t: pad(t, (0, 0) * (t.dim() - 2) + (0, -l % self.Q))  # tokens without a step change nothing
        y = scan(fill(x), fill(dt), -torch.exp(w("A_log")), fill(B), fill(C), self.Q)[:, :l]
        y = (y + w("D")[:, None] * x).reshape(*z.shape)
        return linear(rms_norm(y * silu(z), w("norm.weight")), w("out_proj.weight"))

    def logits(self, ids, last=False):
        x = embedding(ids, self.w["backbone.embedding.weight"])
        for i in range(self.layers):
            name = f"backbone.layers.{i}"
            x = x + self.mixer(rms_norm(x, self.w[f"{name}.norm.weight"]), f"{name}.mixer")
        x = rms_norm(x[:, -1:] if last else x, self.w["backbone.norm_f.weight"])
        return linear(x, self.w["backbone.embedding.weight"])


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def say(text):
    print(text, flush=True)


def blas():
    """The BLAS that PyTorch computes with, by the files that the process has opened."""
    files = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
    for name in ("openblas", "mkl", "blis", "libblas"):
        for path in sorted(files):
            if name in path:
                return path
    return "built in"


def same_logits(model, options, vocabulary):
    ids = torch.randint(0, vocabulary, (2, 77), generator=torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory() as scratch:
        numpy.save(f"{scratch}/ids.npy", ids.numpy())
        run(options.mamba2, "logits", "--model", options.model, "--ids", f"{scratch}/ids.npy", "--output", f"{scratch}/l.npy")
        ours = torch.from_numpy(numpy.load(f"{scratch}/l.npy"))
    theirs = model.logits(ids)
    error = ((ours - theirs).norm() / theirs.norm()).item()
    say(f"relative difference of the logits: {error:.1e}")
    if not error < 1e-4:
        sys.exit("compare_pytorch.py: the two are not the same model; there is nothing to compare")
    path = blas()
    say(f"PyTorch {torch.__version__}, BLAS: {path}")
    if "openblas" in path and "openmp" not in path:
        say("  This OpenBLAS has threads of its own beside PyTorch's. Fair is: apt install libopenblas0-openmp")


def compare(model, options, tokens):
    """Tokens per second of a prompt; runs take turns, the fastest of each counts."""
    threads = options.threads[0]
    ids = torch.full((1, tokens), 7)
    ours = theirs = 0
    for _ in range(options.runs):
        start = time.perf_counter()
        model.logits(ids, last=True)
        theirs = max(theirs, tokens / (time.perf_counter() - start))
        report = run(options.mamba2, "bench", "--model", options.model, "--prefill", tokens, "--threads", threads,
                     "--scan", 1, "--logits", 1, "--decode", 0, "--runs", 2, "--json")  # the first run warms up
        ours = max(ours, *(f["tokens_per_second"] for f in json.loads(report)["figures"] if f["what"] == "prefill"))
    say(f"prefill {tokens:5}, threads {threads}: PyTorch {theirs:8.1f}   mamba2 {ours:8.1f}   ratio {ours / theirs:.2f}")


def measure(options):
    """All prompts with one number of threads, which this process was started for."""
    torch.set_num_threads(options.threads[0])
    with torch.inference_mode():
        model = Model.load(options.model, options.chunk_size)
        if options.check:
            same_logits(model, options, json.loads((options.model / "config.json").read_text())["vocab_size"])
        model.logits(torch.full((1, max(options.prefill)), 7), last=True)  # warms up
        for tokens in options.prefill:
            compare(model, options, tokens)


def compare_training(options):
    """Tokens per second of steps of training; runs take turns, the fastest of each counts."""
    threads, batch, seqlen, vocabulary = options.threads[0], 8, 256, 256
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    if options.check:
        say(f"PyTorch {torch.__version__}, BLAS: {blas()}")
    model = Model.random(256, 4, vocabulary, options.chunk_size)
    weights = [w.requires_grad_() for w in model.w.values()]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=0.1)

    def step():
        ids = torch.randint(0, vocabulary, (batch, seqlen + 1))
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(model.logits(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    step()  # warms up
    ours = theirs = 0
    for _ in range(options.runs):
        for _ in range(2):
            start = time.perf_counter()
            step()
            theirs = max(theirs, batch * seqlen / (time.perf_counter() - start))
        report = json.loads(run(options.training, f"--benchmark_filter=training/threads:{threads}/", "--benchmark_format=json"))
        ours = max(ours, report["benchmarks"][0]["items_per_second"])
    say(f"training, threads {threads}: PyTorch {theirs:8.1f}   mamba2 {ours:8.1f}   ratio {ours / theirs:.2f}")


def started_for(threads, check):
    """Runs this script once more, in an environment for so many threads."""
    environment = dict(os.environ, COMPARE_PYTORCH_THREADS=str(threads), COMPARE_PYTORCH_CHECK=str(int(check)))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[variable] = str(threads)
    # Memory that was in use stays with the process: else each run of PyTorch pays for getting it from the system again.
    environment.update(MALLOC_TRIM_THRESHOLD_=str(1 << 40), MALLOC_MMAP_MAX_="0")
    status = subprocess.run([sys.executable, *sys.argv], env=environment).returncode
    if status:
        sys.exit(status)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, metavar="DIR")
    what.add_argument("--training", metavar="BENCHMARKS", help="the program benchmarks of the build: compare steps of training")
    parser.add_argument("--mamba2", default=Path(__file__).parent.parent / "build/bin/mamba2", metavar="PROGRAM")
    parser.add_argument("--prefill", type=int, nargs="+", default=[512, 2048], metavar="N")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--chunk-size", type=int, default=64, metavar="Q", help="of the model in PyTorch")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    options = parser.parse_args()
    own = os.environ.get("COMPARE_PYTORCH_THREADS")
    if own:
        options.threads, options.check = [int(own)], os.environ["COMPARE_PYTORCH_CHECK"] == "1"
        compare_training(options) if options.training else measure(options)
    else:
        for i, threads in enumerate(options.threads):
            started_for(threads, check=i == 0)


main()
