"""Front-ends as ONNX graphs: a whole utterance in one pass, or a stream hop by hop, without torch."""

from espnet_plugins.onnx_export.export import ExportedGraph, MissingPackage, export_onnx

__all__ = ["ExportedGraph", "MissingPackage", "export_onnx"]
