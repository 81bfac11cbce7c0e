"""What a person is: keypoints, limbs and body parts."""
