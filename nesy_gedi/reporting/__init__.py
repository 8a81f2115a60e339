"""What a run leaves behind: folder, progress, pictures, tables."""
