"""What chapters show: their figures, in one style, sentences with computed numbers, and the speeds of `make bench`.

It may know the whole library but the command line. `state` writes a sentence whose number cannot be typed and that
fails the build when it is no longer true, `miniature` says at the head of a chapter that its numbers are of a short
run; `folders` finds the records wherever a chapter is run.
"""

from dferlib.book.sentences import miniature, state

__all__ = ["miniature", "state"]
