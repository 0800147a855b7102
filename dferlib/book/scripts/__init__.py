"""Scripts and styles of what moves and answers on a page: plain, without a library, no request.

`base` is shared: colours, buttons, the frame around it all, and a few helpers. Each other pair of files is one kind of
interactive figure; its script defines `start(root, data)`. Nothing here is imported: `explorers` reads the files into
the piece of HTML that it makes.
"""
