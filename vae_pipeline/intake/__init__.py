"""New data: taken when complete, judged, and added to the dataset's next version or put into quarantine."""
