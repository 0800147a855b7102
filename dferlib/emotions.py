"""The seven classes of the book, and the colour that each has in every figure."""

EMOTIONS: tuple[str, ...] = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
"""The seven classes, in the order that every label, table and picture of this project uses."""

# seven colours that stay apart for colour-blind readers (after Okabe and Ito), in the order of EMOTIONS
COLOURS = dict(
    zip(EMOTIONS, ("#E69F00", "#0072B2", "#7F7F7F", "#D55E00", "#CC79A7", "#009E73", "#56B4E9"), strict=True)
)
