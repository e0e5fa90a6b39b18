"""Every error this package raises on purpose.

```
VaePipelineError
├── SettingError          a VAE_PIPELINE_* variable or a stated option cannot be used
├── CatalogError          a catalogue file cannot be used
│   └── UnknownDatasetError
├── SourceError           raw data could not be brought in
│   ├── DownloadError     no address delivered the archive
│   ├── HashMismatchError
│   ├── ArchiveError      corrupted, truncated, unsafe or too large
│   └── ConnectorError    a database, address or topic does not answer, or refuses
├── DataError             the rows, files or values themselves are unfit
│   └── ValidationFailedError
├── StorageError          storage cannot be read or written
├── ClusterError          a task was lost on the Ray cluster
├── TrainingError
├── CalibrationError
├── DetectorError         a detector folder or its input cannot be used
├── BackUpError           a back-up cannot be made, is damaged or cannot be restored here
├── PackingError          champions could not be made a Bento, or a Bento not served
└── RegistryError         the MLflow registry refused or lacks something
```

Messages are one sentence that names the file, row, column or setting, and says what to do.
"""


class VaePipelineError(Exception):
    """Base of all errors raised on purpose; its text is meant for the user."""


class SettingError(VaePipelineError):
    """A setting or option cannot be used."""


class CatalogError(VaePipelineError):
    """A catalogue file cannot be used."""


class UnknownDatasetError(CatalogError):
    """The catalogue has no dataset of that name."""


class SourceError(VaePipelineError):
    """Raw data could not be brought in."""


class DownloadError(SourceError):
    """No address delivered the archive."""


class HashMismatchError(SourceError):
    """An archive's sha256 is not the stated one."""


class ArchiveError(SourceError):
    """An archive is corrupted, truncated, unsafe or too large."""


class ConnectorError(SourceError):
    """A database, address or topic does not answer, or refuses."""


class DataError(VaePipelineError):
    """Rows, files or values are unfit for use."""


class ValidationFailedError(DataError):
    """A blocking expectation does not hold."""


class StorageError(VaePipelineError):
    """Storage cannot be read or written."""


class ClusterError(VaePipelineError):
    """A task was lost on the Ray cluster for good."""


class TrainingError(VaePipelineError):
    """A model could not be trained."""


class CalibrationError(VaePipelineError):
    """A score or threshold could not be calibrated."""


class DetectorError(VaePipelineError):
    """A detector folder or its input cannot be used."""


class RegistryError(VaePipelineError):
    """The MLflow registry refused or lacks something."""


class BackUpError(VaePipelineError):
    """A back-up cannot be made, is damaged or cannot be restored here."""


class PackingError(VaePipelineError):
    """Champions could not be made a Bento, or a Bento could not be served."""
