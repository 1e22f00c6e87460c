"""What may stop a delivery."""


class DeliveryError(RuntimeError):
    """A step cannot be done; the message says what was expected, what was received, and what to do."""
