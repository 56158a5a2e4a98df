"""The earlier name of :mod:`espnet_plugins.bin.import_enhancer`, which see."""

from espnet_plugins.bin.import_enhancer import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
