"""The version of the code, which is part of every release."""

CODE_VERSION = "0.1.0"
