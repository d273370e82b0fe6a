"""Test-time augmentation for one-logit models."""

import torch
from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.utils import SampleList


@MODELS.register_module()
class ChangeTTAModel(SegTTAModel):
    """Mean of the change probabilities over the augmented views, then the head's threshold.

    mmseg's SegTTAModel takes the sigmoid of what its segmentor already passed through a sigmoid: with one logit every
    value is then above 0.5, and every pixel is called changed. This class averages the probabilities as they are.
    """

    def merge_preds(self, data_samples_list: list[SampleList]) -> SampleList:
        """Merge the views of each pair.

        Args:
            data_samples_list: views of each pair; their ``seg_logits`` hold probabilities (1, H, W).
        """
        merged = []
        for views in data_samples_list:
            probability = torch.stack([view.seg_logits.data for view in views]).mean(dim=0)
            sample = views[0]
            changed = (probability > self.module.decode_head.threshold).to(probability)
            sample.set_data(dict(seg_logits=PixelData(data=probability), pred_sem_seg=PixelData(data=changed)))
            merged.append(sample)
        return merged
