"""Plans on a GPU: a program of the plan becomes the source of one Triton kernel that walks over all steps.

`prepare` rewrites a program for tiles, `phases` orders it, `source` writes it down, `kernels` compiles and launches it,
and `executable` does what is left outside the loop. What each means is said in its file.
"""
