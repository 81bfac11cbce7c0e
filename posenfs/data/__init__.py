"""Data: annotations, geometry, heatmaps, augmentation, the crop cache and the loader."""
