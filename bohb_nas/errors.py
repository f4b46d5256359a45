"""The project's exceptions, which of others say that memory ran out, and how a process ended.

The tree::

    BohbNasError                      everything raised on purpose; the command line prints its text and exits 1
    ├── UsageError                    a request that cannot be carried out as given; exit 2, nothing was written
    │   ├── DurationError             a budget or time that is not a positive duration
    │   ├── RefError                  a name, file or attribute that leads to no space, worker, method or data set
    │   ├── SpaceError                a search space that cannot be searched
    │   ├── DatasetError              a data set that cannot be read
    │   ├── CommandError              a `--command` template that cannot be run
    │   ├── OptionError               an option that the chosen method or worker refuses
    │   ├── KnowledgeError            an initial, prior, warm-start or constraint that does not fit the search
    │   ├── LogError                  a log of another program that cannot be imported
    │   ├── ProblemError              a benchmark problem that is not there, or whose data are not
    │   ├── DeviceError               a device of another model than a study allows
    │   │   └── DeviceBusyError       … or that another worker owns
    │   └── StudyError                a study directory that cannot be used for this search
    │       ├── StudyHeldError        … because a living master leads it
    │       └── JournalError          … because its journal cannot be replayed
    ├── AnalysisError                 an analysis that cannot be made of these observations, or that contradicts itself
    ├── RecordError                   a record (trial, result, journal line) that breaks its contract
    ├── CheckpointError               a checkpoint that cannot be continued: its training starts afresh
    ├── StartError                    nothing can be trained here: no trial's fault
    └── StorageError                  the disk refused a write: full, read-only, gone
        ├── NoLocksError              … or has no locks
        └── NoLinksError              … or has no hard links

A failed training is data (`bohb_nas.records.Status`), never an exception of this tree.
"""

import signal


class BohbNasError(Exception):
    """Anything this package raises on purpose."""

    exit_code = 1
    """What the command line exits with when this error reaches it."""


class UsageError(BohbNasError):
    """A request that cannot be carried out as given."""

    exit_code = 2


class DurationError(UsageError):
    """A budget or time that is not a positive duration."""


class RefError(UsageError):
    """A name, file or attribute that leads to nothing usable."""


class SpaceError(UsageError):
    """A search space that cannot be searched."""


class DatasetError(UsageError):
    """A data set that cannot be read."""


class CommandError(UsageError):
    """A command template that cannot be run."""


class OptionError(UsageError):
    """An option that the chosen method or worker refuses."""


class KnowledgeError(UsageError):
    """What the user knows beforehand does not fit the search: an initial configuration, a prior, an earlier study, a constraint."""


class LogError(UsageError):
    """A log of another program that cannot be imported as it is."""


class ProblemError(UsageError):
    """A benchmark problem that is not there, or whose data are not."""


class DeviceError(UsageError):
    """A device that a study cannot use."""


class DeviceBusyError(DeviceError):
    """A device that another worker owns."""


class StudyError(UsageError):
    """A study directory that cannot be used for this search."""


class StudyHeldError(StudyError):
    """A study directory that a living master leads."""


class JournalError(StudyError):
    """A journal that cannot be replayed."""


class AnalysisError(BohbNasError):
    """An analysis that cannot be made of these observations, or that contradicts itself."""


class RecordError(BohbNasError):
    """A record that breaks its contract."""


class CheckpointError(BohbNasError):
    """Why a checkpoint cannot be continued."""


class StartError(BohbNasError):
    """Nothing can be trained here: the child cannot start, or its data or disk are gone. It is no trial's fault."""


class StorageError(BohbNasError):
    """The disk refused a write."""


class NoLocksError(StorageError):
    """A file system without locks."""


class NoLinksError(StorageError):
    """A file system without hard links."""


_NO_MEMORY = (
    "out of memory",  # of torch, Triton or the driver, each with other words before it
    "DefaultCPUAllocator",
    "ALLOC_FAILED",  # of cuBLAS, and of cuDNN before its version 9
    "ALLOCATION_FAILED",  # of cuDNN
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate",  # there is none for a handle; `device.choose` refuses what is broken
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    "unable to find an engine to execute this computation",  # torch passes over every algorithm whose workspace finds no room
)
"""What a RuntimeError says that stands for missing memory: torch has an exception of its own only for its CUDA allocator."""


def out_of_memory(e: BaseException) -> bool:
    """Whether an exception says that the device or the host has no memory left; that of torch is known by its name, without torch."""
    if isinstance(e, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(e).__mro__):
        return True
    return isinstance(e, RuntimeError) and any(words in str(e) for words in _NO_MEMORY)


def first_line(e: BaseException) -> str:
    """The first line that an exception says, or its name where it says nothing."""
    return (str(e).splitlines() or [""])[0] or type(e).__name__


def end_text(code: int) -> str:
    """How a process ended that left this code, for people."""
    if code >= 0:
        return f"exit code {code}"
    name = next((number.name for number in signal.Signals if number == -code), -code)
    return f"signal {name}{', often out of memory' if name == 'SIGKILL' else ''}"
