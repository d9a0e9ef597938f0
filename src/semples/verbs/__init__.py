"""The verbs of the command line as Python functions and objects, the public names of ``semples``."""
