"""Searching for the text that a decoder writes: greedy or by a beam, and its tokens as text.

What tasks share that write with a recurrent decoder or a Transformer's: translation, captions.
"""
