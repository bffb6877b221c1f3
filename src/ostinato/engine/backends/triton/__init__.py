"""Plans on a GPU: a program of the plan becomes the source of one Triton kernel that walks over all steps.

`prepare` rewrites a program for tiles, `tiles` deals rows and columns to programs of the device, `phases` orders the
step, `source` writes it down (`values`, `words`, `exchange`, `reductions`, `operands`, `sums` and `products` write a
part each), `kernels` compiles and launches it.
`loop` runs one program over a call, with what `batched` does outside of the loop; `weights` sums the gradients of
parameters; `quick` and `executable` are what calls them. What each means is said in its file.
"""
