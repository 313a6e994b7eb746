"""What a training run leaves behind: a model directory with its measured error rates."""
