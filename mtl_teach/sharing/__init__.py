"""The sharing algorithms: one file each, all behind the contract in `base.py`."""
