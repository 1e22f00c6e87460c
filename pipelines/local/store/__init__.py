"""What tasks put out: kept by content, reused when proven, verified and collected."""
