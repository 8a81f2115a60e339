import os
import tempfile


def pytest_configure(config):
    """Keep compiled circuits away from the user's own: also when a module compiles on import."""
    folder = tempfile.TemporaryDirectory(prefix="nesy-gedi-tests-")
    os.environ["NESY_GEDI_CACHE"] = folder.name
    config.add_cleanup(folder.cleanup)
