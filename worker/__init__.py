"""The process in which a plugin runs; imports the standard library, zmq and msgpack only."""

__version__ = "0.1.0"
