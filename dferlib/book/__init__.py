"""What chapters show: the book's figures, in one style.

It may know the whole library but the command line.
"""
