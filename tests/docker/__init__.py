"""Checks of the image and of what watches it, with the real programs; tests/test_deploy_files.py is the quick part."""
