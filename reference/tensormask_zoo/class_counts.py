"""How many object classes a model can have."""

from __future__ import annotations


def check_classes(num_classes: int) -> None:
    """Refuse a detector without classes.

    Raises:
        ValueError: less than one class.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes expects at least 1 object class, got {num_classes}")


def check_one_class(num_classes: int) -> None:
    """Refuse classes, which proposals do not have.

    Raises:
        ValueError: not exactly one class.
    """
    if num_classes != 1:
        raise ValueError(
            f"num_classes expects 1, got {num_classes}: proposals are objects of any class; merge "
            "the classes of the data into one, label 1"
        )
