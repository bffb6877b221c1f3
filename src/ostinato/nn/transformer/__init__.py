"""The Transformer, under the interface of the recurrent stacks: what to compare them with."""

from ostinato.nn.transformer.seq2seq import TransformerEncoderDecoder, TransformerState
from ostinato.nn.transformer.stack import TransformerStack

__all__ = ["TransformerEncoderDecoder", "TransformerStack", "TransformerState"]
