"""From heatmaps to keypoints and metrics."""
