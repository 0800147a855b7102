"""What chapters show: the book's figures and drawings, in one style, and the speeds that `make bench` has measured.

It may know the whole library but the command line. `folders` finds the records wherever a chapter is run.
"""
