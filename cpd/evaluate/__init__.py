"""One evaluation protocol a file."""
