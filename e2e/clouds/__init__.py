"""Emulated cloud APIs, one small HTTP service each, that the real SDKs talk to by their endpoint setting.

They refuse what the cloud refuses and remember what they were told; the lab's fabrics ask them what may pass.
"""
