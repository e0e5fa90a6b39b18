"""What a service answers instead of a score, each with its status and one sentence."""

__all__ = ["Overloaded", "Refused"]


class Refused(Exception):  # noqa: N818 - not a fault of the service
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        message: one sentence that names the field and says what to do.
        field: where in the request it lies, such as ``windows.3.0`` or ``column 'sensor_2'``; None for the whole.
    """

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.field = status, message, field


class Overloaded(Refused):
    """More waits than may; try again."""

    def __init__(self, waiting: int) -> None:
        super().__init__(503, f"{waiting:,} samples wait already; try again in a moment")
