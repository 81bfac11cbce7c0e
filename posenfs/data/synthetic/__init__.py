"""Drawn people in the file formats of MPII and COCO."""
