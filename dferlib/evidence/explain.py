"""Looking inside a trained model: where in a clip the evidence lies, and how clips lie in feature space."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dferlib.errors import InputError


class _FramesAsBatch(nn.Module):
    """A clip model that takes its one clip as a batch of frames (F, C, H, W), which is what Grad-CAM tools expect."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (F, C, H, W) to logits (1, classes)."""
        return self.model(frames[None])


def grad_cam(model: nn.Module, clip: Tensor, label: int | None = None) -> tuple[np.ndarray, int]:
    """Where in each frame the evidence for a class lies: Grad-CAM on the backbone's feature maps.

    The frames share one scale, so that a frame without evidence stays dark. Tools that stretch each frame by itself
    would hide just what a clip model is about.

    Args:
        model: any model of this library whose backbone works frame by frame.
        clip: (F, C, H, W) normalised frames of one clip.
        label: the class to explain; default the predicted one.

    Returns:
        heat: (F, H, W) from 0 to 1.
        label: the class it explains.

    Raises:
        InputError: the package grad-cam is missing.

    Source: Selvaraju et al. 2017; STT shows such maps in its Fig. 4.
    """
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    except ImportError as error:
        raise InputError('grad_cam needs the package grad-cam: pip install "dferlib[explain]"') from error
    was_training = model.training
    model.eval()
    wrapped = _FramesAsBatch(model)
    with GradCAM(model=wrapped, target_layers=[wrapped.model.backbone]) as cam:
        logits = cam.activations_and_grads(clip)
        chosen = int(logits.argmax()) if label is None else label
        model.zero_grad()
        ClassifierOutputTarget(chosen)(logits[0]).backward()
        maps, slopes = (
            kept[0].detach().cpu().numpy()
            for kept in (cam.activations_and_grads.activations, cam.activations_and_grads.gradients)
        )
        heat = cam.get_cam_image(clip, wrapped.model.backbone, [], maps, slopes)  # (F, h, w)
    model.zero_grad()
    model.train(was_training)
    heat = np.maximum(heat, 0)
    heat = heat / max(float(heat.max()), 1e-12)
    large = F.interpolate(torch.from_numpy(heat)[:, None], clip.shape[-2:], mode="bilinear", align_corners=False)
    return large[:, 0].numpy(), chosen


def embed_in_plane(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Lay clip features (N, D) out in the plane with t-SNE: (N, 2).

    Distances between far groups mean little in such a picture; read it for which clips are neighbours.

    Args:
        features: (N, D), N of at least 4.
        seed: of the layout.

    Source: van der Maaten and Hinton 2008; STT shows one in its Fig. 5.
    """
    from sklearn.manifold import TSNE

    if len(features) < 4:
        raise InputError(f"t-SNE needs at least 4 clips, not {len(features)}")
    perplexity = min(30.0, (len(features) - 1) / 3)
    layout = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return layout.fit_transform(features)
