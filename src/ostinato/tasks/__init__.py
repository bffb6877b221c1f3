"""Applications, one a room: records to tensors, model, loss, metrics, decoding."""
