"""What is wrong with a single value of a venue's message. Parsers count these, they never escape."""


class UnknownValue(Exception):
    """An enumeration has a value that the adapter does not know."""


class BadValue(Exception):
    """A well-formed value that cannot be true, such as a trade at price 0."""
