"""The beginning of programs that show what ESPnet does where this package is not installed."""

# Importing this package fails behind it.
STOCK_ALONE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "espnet_plugins":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
try:
    import espnet_plugins
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package can be imported")
"""
