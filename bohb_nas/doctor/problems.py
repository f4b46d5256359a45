"""What is wrong with a set-up, and what to do about it: from facts to sentences."""

from dataclasses import dataclass

from bohb_nas.doctor.facts import Facts

_GIB = 2**30
_GPU_FREE_SHARE = 0.8
"""Of a GPU's memory; a GPU with less free is in use by somebody."""
_HOST_FREE = 2 * _GIB
_TMP_FREE = 1 * _GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    what: str
    remedy: str


def problems(facts: Facts) -> list[Problem]:
    """What is wrong, the gravest first; none of it keeps a search from running."""
    return [*_of_the_gpu(facts), *_of_the_device(facts), *_of_the_folders(facts)]


def of_error(text: str) -> Problem:
    """An error of ours as a problem: what to do comes behind its last semicolon."""
    what, _, remedy = text.rpartition("; ")
    return Problem(what=what, remedy=remedy)


_INSTALL = "install nvidia-smi (in a container NVIDIA_DRIVER_CAPABILITIES=compute,utility brings it), or "


def _of_the_gpu(facts: Facts) -> list[Problem]:
    found = []
    if facts.unseen is not None and facts.given != ():
        found.append(of_error(facts.unseen))
    elif facts.cuda_works and not facts.gpus and not facts.given:
        found.append(
            Problem(
                what="torch can use a GPU, but nvidia-smi is not here or sees none: a search would train on the processor",
                remedy=("" if facts.cuda is None else _INSTALL) + "set CUDA_VISIBLE_DEVICES=0, or whichever GPUs are yours",
            )
        )
    if facts.gpus and not facts.cuda_works and facts.given is None:
        built = "built without CUDA" if facts.cuda is None else f"built for CUDA {facts.cuda}, which does not work here"
        found.append(
            Problem(
                what=f"nvidia-smi sees {', '.join(facts.gpus)}, but torch {facts.torch} is {built}: training would run on the processor",
                remedy="install a torch with CUDA that the driver supports (https://pytorch.org/get-started/locally)",
            )
        )
    if facts.gpus and facts.given == ():
        found.append(Problem(what="CUDA_VISIBLE_DEVICES hides every GPU", remedy="unset CUDA_VISIBLE_DEVICES to train on a GPU"))
    if facts.processes:
        named = ", ".join(f"{p.name} (pid {p.pid})" for p in facts.processes)
        found.append(
            Problem(
                what=f"others compute on the GPU: {named}; budgets are seconds, which they take away",
                remedy="let them end, or name a free GPU in CUDA_VISIBLE_DEVICES",
            )
        )
    return found


def _of_the_device(facts: Facts) -> list[Problem]:
    found = []
    if facts.precision != "bf16":
        found.append(
            Problem(
                what=f"{facts.device} does not multiply bf16: training takes fp32, which is about half as fast",
                remedy="use a GPU from NVIDIA's Ampere on, or a processor with AMX or AVX512-BF16; nothing is lost but speed",
            )
        )
    if facts.kernels_refused is not None:
        found.append(
            Problem(
                what=f"our kernels do not run; torch's cost seconds, and made steps 1.1 to 1.4 times as long: {facts.kernels_refused}",
                remedy="install triton (torch's wheels for CUDA on Linux bring it), a C compiler and Python's headers",
            )
        )
    if facts.n_threads > facts.n_cores:
        found.append(
            Problem(
                what=f"torch computes with {facts.n_threads} threads on {facts.n_cores} usable cores: they wait for each other",
                remedy=f"set OMP_NUM_THREADS={facts.n_cores}",
            )
        )
    if facts.kind == "cpu" and facts.load > facts.n_cores:
        found.append(
            Problem(
                what=f"others compute here: the load is {facts.load:.1f} on {facts.n_cores} usable cores; they take from every budget",
                remedy="let them end before a search begins",
            )
        )
    enough = _GPU_FREE_SHARE * facts.memory_total_bytes if facts.kind == "cuda" else min(_HOST_FREE, 0.5 * facts.memory_total_bytes)
    if facts.memory_free_bytes < enough:
        free, total = (n / _GIB for n in (facts.memory_free_bytes, facts.memory_total_bytes))
        found.append(
            Problem(
                what=f"{free:.1f} GiB of the {total:.1f} GiB of memory are free: wide networks will run out of it",
                remedy="end what holds it, or ask for more memory",
            )
        )
    return found


def _of_the_folders(facts: Facts) -> list[Problem]:
    found = []
    if facts.data_dir is not None and not facts.data_dir_exists:
        found.append(Problem(what=f"BOHB_NAS_DATA is {facts.data_dir!r}, which is no folder", remedy="correct it, or unset it"))
    if absent := [name for name, here in facts.datasets.items() if not here]:
        found.append(
            Problem(
                what=f"not on this machine: {', '.join(absent)}; the first search on one downloads it",
                remedy="without a network put its published files into a folder and name it by --data-dir; digits needs no files",
            )
        )
    if facts.tmp_free_bytes < _TMP_FREE:
        found.append(
            Problem(
                what=f"{facts.tmp_free_bytes / _GIB:.2f} GiB are free in {facts.tmp}, where temporary files go",
                remedy="free space there, or set TMPDIR to a larger folder",
            )
        )
    return found
