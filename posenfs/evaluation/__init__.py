"""From score maps to keypoints and numbers."""
